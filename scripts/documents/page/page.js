/** Search, the theme and copying, for a page of the documents. Without it the pages can be read. */
const root = document.documentElement.dataset.root;
const form = document.querySelector("form");
const input = form.querySelector("input");
const results = form.querySelector(".results");
const count = form.querySelector(".count");
form.hidden = false;

const options = {
  prefix: true,
  fuzzy: 0.15,
  combineWith: "AND",
  boost: { heading: 4, title: 2 },
};

/** The index is loaded when somebody begins to search. */
let index;
async function loadIndex() {
  const { default: MiniSearch } = await import("./minisearch.js");
  const answer = await fetch(new URL("search.json", import.meta.url));
  return MiniSearch.loadJSAsync(await answer.json(), {
    fields: ["heading", "title", "text"],
    storeFields: ["heading", "title", "address", "excerpt"],
  });
}
input.addEventListener("focus", () => index ??= loadIndex());

input.addEventListener("input", async () => {
  const query = input.value.trim();
  const loaded = await (index ??= loadIndex());
  // Somebody may have typed on while the index was loaded.
  if (query !== input.value.trim()) return;
  const found = query ? loaded.search(query, options).slice(0, 20) : [];
  results.replaceChildren(...found.map(linkTo));
  if (query && found.length === 0) {
    const nothing = document.createElement("p");
    nothing.textContent = "Nothing found";
    results.append(nothing);
  }
  results.hidden = !query;
  count.textContent = query ? `${found.length} results` : "";
});

function linkTo({ heading, title, address, excerpt }) {
  const link = document.createElement("a");
  link.href = root + address;
  const name = document.createElement("strong");
  name.textContent = heading === title ? title : `${title}: ${heading}`;
  const text = document.createElement("span");
  text.textContent = excerpt;
  link.append(name, text);
  return link;
}

const close = () => {
  results.hidden = true;
};
form.addEventListener("submit", (event) => {
  event.preventDefault();
  results.querySelector("a")?.click();
});
form.addEventListener("click", (event) => {
  if (event.target.closest("a")) close();
});
addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    input.focus();
  } else if (event.key === "Escape") {
    close();
    input.blur();
  } else if (/^Arrow(Down|Up)$/.test(event.key) && form.contains(event.target) && !results.hidden) {
    event.preventDefault();
    const places = [input, ...results.querySelectorAll("a")];
    const next = places.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1);
    places[Math.max(0, Math.min(next, places.length - 1))].focus();
  }
});
addEventListener("click", (event) => {
  if (!form.contains(event.target)) close();
});

const theme = document.querySelector(".theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark" ||
    !document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  } catch {
    // Storage is forbidden: the theme is for this page alone.
  }
});

for (const block of document.querySelectorAll("pre")) {
  const frame = document.createElement("div");
  frame.className = "code";
  block.replaceWith(frame);
  const copy = document.createElement("button");
  copy.type = "button";
  copy.textContent = "Copy";
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.textContent);
    copy.textContent = "Copied";
    setTimeout(() => copy.textContent = "Copy", 1500);
  });
  frame.append(block, copy);
}
