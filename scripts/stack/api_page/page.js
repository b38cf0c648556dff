/* global SwaggerUIBundle */
// The console keeps the chosen theme under this name; without a choice the system's applies.
const dark = matchMedia("(prefers-color-scheme: dark)");
function applyTheme() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // Storage is forbidden.
  }
  const isDark = chosen === "dark" || (chosen !== "light" && dark.matches);
  document.documentElement.classList.toggle("dark-mode", isDark);
}
applyTheme();
dark.addEventListener("change", applyTheme);

document.addEventListener("DOMContentLoaded", () => {
  SwaggerUIBundle({
    url: "./openapi.json",
    dom_id: "#api",
    deepLinking: true,
    docExpansion: "none",
    filter: true,
    defaultModelsExpandDepth: -1,
    // Tokens stay in the memory of the page.
    persistAuthorization: false,
    validatorUrl: null,
  });
});
