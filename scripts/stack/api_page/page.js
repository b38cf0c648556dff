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

/** Names of controls that Swagger UI leaves without one. */
const names = {
  "#servers": "Server",
  ".close-modal": "Close",
  ".body-param__text": "Request body",
};

/** Parts of the page beside the operations, which have a landmark. */
const parts = {
  ".information-container": ["region", "About the API"],
  ".scheme-container": ["region", "Server and authorization"],
  ".filter-container": ["search", "Filter"],
  ".modal-ux": ["dialog", "Available authorizations"],
};

/** Adds the names and levels that assistive technology needs and Swagger UI does not give. */
function mend() {
  const all = (selector) => document.querySelectorAll(`#api ${selector}`);
  for (const [selector, name] of Object.entries(names)) {
    for (const control of all(`${selector}:not([aria-label])`)) {
      control.setAttribute("aria-label", name);
    }
  }
  for (const [selector, [role, name]] of Object.entries(parts)) {
    for (const part of all(`${selector}:not([role])`)) {
      part.setAttribute("role", role);
      part.setAttribute("aria-label", name);
    }
  }
  // Their names are other words than their texts.
  for (const button of all(".auth-btn-wrapper [aria-label]")) button.removeAttribute("aria-label");
  // The title is a heading of the first level, and those below it begin with the third.
  for (const heading of all(":is(h3, h4, h5):not([aria-level])")) {
    heading.setAttribute("aria-level", String(Number(heading.tagName[1]) - 1));
  }
  // A link within a button. The button opens the operation, and the address of the page follows.
  for (const link of all("button a[href]")) link.removeAttribute("href");
}

document.addEventListener("DOMContentLoaded", () => {
  const shown = { childList: true, subtree: true };
  new MutationObserver(mend).observe(document.getElementById("api"), shown);
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
