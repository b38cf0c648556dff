/** The site of the documents: pages, an index to search, and what they load. All paths are relative. */
import { extname } from "node:path";
import MiniSearch from "minisearch";
import { inRepository } from "../stack/paths.ts";
import { layout, type Menu } from "./layout.ts";
import { markdown, pages, plainText, textOf } from "./markdown.ts";
import { render, type Rendered } from "./render.ts";

/** The files of the site, by their paths. */
export type Site = Map<string, Uint8Array<ArrayBuffer>>;

/** Pages that are not in docs, and the names of their files. */
const others: Record<string, string> = {
  "README.md": "overview.html",
  "CONTRIBUTING.md": "contributing.html",
  "SECURITY.md": "security-policy.html",
  "CHANGELOG.md": "changelog.html",
};

/** The path of a page in the site; null for a file that is none. */
export function addressOf(path: string): string | null {
  if (path === "docs" || path === "docs/") return "index.html";
  if (path in others) return others[path]!;
  if (path === "docs/runbooks" || path === "docs/runbooks/") return "runbooks/index.html";
  return path.startsWith("docs/") && path.endsWith(".md")
    ? path.slice("docs/".length).replace(/README\.md$/, "index.md").replace(/\.md$/, ".html")
    : null;
}

/** Builds the site from the documents as they are; with `api`, it links to the pages of the API. */
export async function buildSite({ api }: { api: boolean }): Promise<Site> {
  const site: Site = new Map();
  const encoder = new TextEncoder();
  const add = (path: string, text: string) => site.set(path, encoder.encode(text));
  const sources = [...await pages(), ...Object.keys(others).slice(1)];
  const rendered = new Map<string, Rendered>();
  for (const page of sources) rendered.set(page, render(page, await textOf(page), addressOf));
  const menu = await menuOf(rendered);
  if (api) menu[0]!.entries.push({ title: "API reference", address: "api" });
  const entries = menu.flatMap(({ entries }) => entries).filter(({ address }) => address !== "api");
  for (const [page, content] of rendered) {
    const address = addressOf(page)!;
    const place = entries.findIndex((entry) => entry.address === address);
    const neighbours = place < 0 ? [] : [entries[place - 1], entries[place + 1]];
    add(address, layout({ address, content, menu, neighbours }));
    for (const file of content.files) {
      site.set(file.slice("docs/".length), await Deno.readFile(inRepository(file)));
    }
  }
  add("search.json", JSON.stringify(indexOf(rendered)));
  const tokens = await Deno.readTextFile(inRepository("console", "src", "app.css"));
  const own = (name: string) => Deno.readTextFile(inRepository("scripts/documents/page", name));
  add("style.css", tokensOf(tokens) + await own("style.css"));
  add("page.js", await own("page.js"));
  add("theme.js", await Deno.readTextFile(inRepository("console", "public", "theme.js")));
  add("icon.svg", await Deno.readTextFile(inRepository("console", "public", "icon.svg")));
  add(
    "minisearch.js",
    await Deno.readTextFile(inRepository("node_modules/minisearch/dist/es/index.js")),
  );
  return site;
}

/** The colours of the console. */
function tokensOf(css: string): string {
  const rules = css.match(/^:root[^{]*\{[^}]*\}$/gm) ?? [];
  if (rules.length < 3) throw new Error("console/src/app.css has no :root rules for both themes");
  return `${rules.join("\n")}\n`;
}

/** The menu as docs/README.md orders the pages; those that it does not list come last. */
async function menuOf(rendered: Map<string, Rendered>): Promise<Menu> {
  const menu: Menu = [{
    title: "Documents",
    entries: [
      { title: "All documents", address: "index.html" },
      { title: "Overview", address: "overview.html" },
    ],
  }];
  const known = new Set(["index.html", "overview.html"]);
  const tokens = markdown().parse(await textOf("docs/README.md"), {});
  for (const [index, token] of tokens.entries()) {
    const inline = tokens[index + 1];
    if (token.type === "heading_open" && token.tag === "h2") {
      menu.push({ title: plainText(inline), entries: [] });
    } else if (token.type === "td_open") {
      const link = inline?.children?.find(({ type }) => type === "link_open");
      const address = addressOf(`docs/${String(link?.attrGet("href") ?? "")}`);
      if (!link || !address || known.has(address)) continue;
      known.add(address);
      menu.at(-1)!.entries.push({ title: plainText(inline), address });
    }
  }
  const rest = [...rendered].map(([page, { title }]) => ({ title, address: addressOf(page)! }))
    .filter(({ address }) => !known.has(address));
  const filed = menu.filter(({ entries }) => entries.length > 0);
  return [
    ...filed,
    { title: "Runbooks", entries: rest.filter(({ address }) => address.startsWith("runbooks/")) },
    { title: "Project", entries: rest.filter(({ address }) => !address.startsWith("runbooks/")) },
  ];
}

/** An index of all sections. */
function indexOf(rendered: Map<string, Rendered>): object {
  const search = new MiniSearch({
    fields: ["heading", "title", "text"],
    storeFields: ["heading", "title", "address", "excerpt"],
  });
  let id = 0;
  for (const [page, { title, sections }] of rendered) {
    for (const { heading, anchor, level, text } of sections) {
      const address = level === 1 ? addressOf(page)! : `${addressOf(page)}#${anchor}`;
      const excerpt = text.replaceAll(/\s+/g, " ").slice(0, 140);
      search.add({ id: id++, heading, title, text, address, excerpt });
    }
  }
  return search.toJSON();
}

/** The media type of a file of the site. */
export function typeOf(path: string): string {
  const text = "; charset=utf-8";
  return {
    ".html": `text/html${text}`,
    ".css": `text/css${text}`,
    ".js": `text/javascript${text}`,
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
  }[extname(path)] ?? "application/octet-stream";
}
