/** The themes that a person can choose; null follows the system. */
export const themes = [
  { theme: "light", name: "Light theme" },
  { theme: "dark", name: "Dark theme" },
  { theme: null, name: "Theme of the system" },
] as const;

/** Sets the theme of the page, which this browser keeps. */
export function chooseTheme(theme: (typeof themes)[number]["theme"]): void {
  if (theme === null) {
    delete document.documentElement.dataset["theme"];
    localStorage.removeItem("theme");
  } else {
    document.documentElement.dataset["theme"] = theme;
    localStorage.setItem("theme", theme);
  }
}
