/** A page's Markdown as HTML, with anchors, links between pages, colours of code, and drawings. */
import { dirname, join, relative } from "node:path";
import highlighter from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import http from "highlight.js/lib/languages/http";
import ini from "highlight.js/lib/languages/ini";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import pgsql from "highlight.js/lib/languages/pgsql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import { drawing } from "./diagram.ts";
import { escape } from "./html.ts";
import { anchors, markdown, plainText } from "./markdown.ts";

const languages = { bash, http, ini, javascript, json, pgsql, typescript, xml };
for (const [name, language] of Object.entries(languages)) {
  highlighter.registerLanguage(name, language);
}
/** The language that colours a fence. */
const colours: Record<string, keyof typeof languages> = {
  sh: "bash",
  http: "http",
  toml: "ini",
  js: "javascript",
  json: "json",
  sql: "pgsql",
  ts: "typescript",
  tsx: "typescript",
  html: "xml",
};

/** A part of a page under one heading. */
export interface Section {
  heading: string;
  anchor: string;
  level: number;
  /** Its text without marks, to be searched. */
  text: string;
}

/** A page as it is shown. */
export interface Rendered {
  title: string;
  /** The first paragraph, for lists and search engines. */
  summary: string;
  html: string;
  sections: Section[];
  /** Files of the repository that the page shows or links to. */
  files: string[];
}

/** Renders a page; `addressOf` gives the address of another page in the site, or null. */
export function render(
  page: string,
  text: string,
  addressOf: (path: string) => string | null,
): Rendered {
  const parser = markdown();
  const tokens = parser.parse(text, {});
  const name = anchors();
  const sections: Section[] = [];
  const files: string[] = [];
  let summary = "";
  for (const [index, token] of tokens.entries()) {
    const inline = tokens[index + 1];
    if (token.type === "heading_open") {
      const heading = plainText(inline);
      const anchor = name(heading);
      token.attrSet("id", anchor);
      sections.push({ heading, anchor, level: Number(token.tag.slice(1)), text: "" });
    } else if (token.type === "inline") {
      const section = sections.at(-1);
      if (section && tokens[index - 1]?.type !== "heading_open") {
        section.text += `${plainText(token)} `;
      }
      if (!summary && tokens[index - 1]?.type === "paragraph_open") summary = plainText(token);
      for (const child of token.children ?? []) relink(child, page, addressOf, files);
    } else if (/^t[hd]_open$/.test(token.type) && token.attrGet("style")) {
      // The policy forbids inline styles.
      token.attrs = [["class", String(token.attrGet("style")).replace("text-align:", "")]];
    }
    if (token.type === "th_open" && !inline?.content) {
      // An empty cell heads nothing.
      for (const cell of [token, tokens[index + 2]!]) cell.tag = "td";
    } else if (token.type === "fence") {
      const section = sections.at(-1);
      if (section) section.text += `${token.content} `;
    }
  }
  const ownHtml = (html: string) =>
    uncommented(html).replaceAll(/ (src|srcset)="([^"]+)"/g, (all, attribute, target) => {
      const file = join(dirname(page), target);
      return isPicture(file)
        ? ` ${attribute}="${pictureAddress(file, addressOf(page) ?? "", files)}"`
        : all;
    });
  let drawings = 0;
  Object.assign(parser.renderer.rules, {
    fence: (_tokens: typeof tokens, index: number) => {
      const { info, content } = _tokens[index]!;
      if (info === "mermaid") return drawing(content, `drawing-${++drawings}`);
      const language = colours[info.trim()];
      const code = language ? highlighter.highlight(content, { language }).value : escape(content);
      return `<pre tabindex="0"><code>${code}</code></pre>\n`;
    },
    html_block: (_tokens: typeof tokens, index: number) => ownHtml(_tokens[index]!.content),
    html_inline: (_tokens: typeof tokens, index: number) => ownHtml(_tokens[index]!.content),
    table_open: () => `<div class="wide" tabindex="0" role="group" aria-label="Table"><table>\n`,
    table_close: () => "</table></div>\n",
  });
  return {
    title: sections[0]?.heading ?? page,
    summary,
    html: parser.renderer.render(tokens, parser.options, {}),
    sections,
    files,
  };
}

const uncommented = (html: string) => html.replaceAll(/<!--[^]*?-->\n?/g, "");

const isPicture = (file: string) => file.startsWith("docs/") && /\.(svg|png|webp)$/.test(file);

/** The address of a picture in the site, which is added to its files. */
function pictureAddress(file: string, own: string, files: string[]): string {
  files.push(file);
  return relative(dirname(own), file.slice("docs/".length));
}

interface Linked {
  type: string;
  tag: string;
  attrGet(name: string): unknown;
  attrSet(name: string, value: string): void;
  attrs: unknown;
}

/** Links to pages lead to their addresses; other files of the repository are named, not linked. */
function relink(
  token: Linked,
  page: string,
  addressOf: (path: string) => string | null,
  files: string[],
): void {
  const attribute = token.type === "image" ? "src" : "href";
  const target = String(token.attrGet(attribute) ?? "");
  if (!target || /^(https?:|mailto:|#)/.test(target)) return;
  const [path = "", anchor] = target.split("#");
  const file = join(dirname(page), path);
  const address = addressOf(file);
  const own = addressOf(page) ?? "";
  if (address !== null) {
    const link = relative(dirname(own), address) || address;
    token.attrSet(attribute, anchor ? `${link}#${anchor}` : link);
  } else if (isPicture(file)) {
    token.attrSet(attribute, pictureAddress(file, own, files));
    if (token.type === "image") token.attrSet("loading", "lazy");
  } else {
    token.attrs = [["class", "file"], ["title", `${file}, in the repository`]];
  }
}
