/** Mermaid fences as drawings in the page, with its colours and without styles of their own. */
import { renderMermaidSVG } from "beautiful-mermaid";
import { escape } from "./html.ts";

/** A drawing that names no description, which readers without eyes need. */
export class Undescribed extends Error {}

/**
 * Draws a diagram. `accTitle` and `accDescr` of its source are its accessible name and description;
 * `id` tells it from others of the page.
 */
export function drawing(source: string, id: string): string {
  const title = /^\s*accTitle: (.+)$/m.exec(source)?.[1];
  const description = /^\s*accDescr: (.+)$/m.exec(source)?.[1];
  if (!title || !description) throw new Undescribed("a diagram needs accTitle and accDescr");
  const svg = renderMermaidSVG(source.replaceAll(/^\s*acc(Title|Descr): .+\n/gm, ""))
    .replace(/<style>[^]*?<\/style>/, "")
    .replace(/ style="[^"]*"/, "")
    .replaceAll("arrowhead", `${id}-arrow`)
    .replace(
      /^<svg /,
      `<svg class="drawing" role="img" aria-labelledby="${id}-title" aria-describedby="${id}-text" `,
    )
    .replace(
      ">",
      `><title id="${id}-title">${escape(title)}</title>` +
        `<desc id="${id}-text">${escape(description)}</desc>`,
    );
  return `<figure class="wide" tabindex="0">${svg}<figcaption>${
    escape(description)
  }</figcaption></figure>\n`;
}
