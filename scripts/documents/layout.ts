/** The frame of a page of the documents: search, menu, contents, and the pages before and after. */
import { dirname, relative } from "node:path";
import { escape } from "./html.ts";
import type { Rendered } from "./render.ts";

/** A page in the menu. */
export interface Entry {
  title: string;
  address: string;
}

/** The groups of the menu. */
export type Menu = { title: string; entries: Entry[] }[];

/** A page and its place in the site. */
export interface Place {
  address: string;
  content: Rendered;
  menu: Menu;
  /** The pages before and after it. */
  neighbours: (Entry | undefined)[];
}

/** The whole document of a page. */
export function layout({ address, content, menu, neighbours }: Place): string {
  const to = (file: string) => escape(relative(dirname(address), file) || file);
  const { title, summary, html, sections } = content;
  const link = (entry: Entry) =>
    `<a href="${to(entry.address)}"${entry.address === address ? ' aria-current="page"' : ""}>${
      escape(entry.title)
    }</a>`;
  const groups = menu.filter(({ entries }) => entries.length > 0).map(({ title, entries }) => {
    const list = entries.map((entry) => `<li>${link(entry)}</li>`).join("");
    return `<p>${escape(title)}</p><ul>${list}</ul>`;
  }).join("\n");
  const contents = sections.filter(({ level }) => level === 2)
    .map(({ heading, anchor }) => `<li><a href="#${anchor}">${escape(heading)}</a></li>`).join("");
  const [before, after] = neighbours;
  return `<!doctype html>
<html lang="en" data-root="${to("index.html").replace(/index\.html$/, "")}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${escape(summary.slice(0, 200))}">
<title>${escape(title)}${title === "Bulwark" ? "" : " · Bulwark"}</title>
<link rel="icon" href="${to("icon.svg")}">
<link rel="stylesheet" href="${to("style.css")}">
<script src="${to("theme.js")}"></script>
<script type="module" src="${to("page.js")}"></script>
</head>
<body>
<a class="skip" href="#content">Skip to the text</a>
<header>
<a class="brand" href="${to("index.html")}">Bulwark <span>Documents</span></a>
<form role="search" hidden>
<input type="search" name="query" aria-label="Search the documents" placeholder="Search  ( / )"
  autocomplete="off" spellcheck="false">
<div class="results" hidden></div>
<p class="count" role="status"></p>
</form>
<button type="button" class="theme" hidden>Theme</button>
</header>
<div class="columns">
<details class="menu"><summary>Menu</summary><nav aria-label="Documents">
${groups}
</nav></details>
<main id="content">
<article>
${html}</article>
<nav class="neighbours" aria-label="Before and after">
${before ? `<span>${link(before)}</span>` : "<span></span>"}
${after ? `<span>${link(after)}</span>` : ""}
</nav>
</main>
${
    contents
      ? `<nav class="contents" aria-label="On this page"><p>On this page</p><ul>${contents}</ul></nav>`
      : ""
  }
</div>
</body>
</html>
`;
}
