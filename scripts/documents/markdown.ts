/** One reading of the Markdown of README and docs, for the tests and for the site. */
import MarkdownIt, { type MarkdownIt as Parser } from "markdown-it";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";

/** The parser. It keeps HTML, because comments say how blocks are run. */
export function markdown(): Parser {
  return new MarkdownIt({ html: true });
}

/** README and every page of docs, as paths in the repository. */
export async function pages(): Promise<string[]> {
  return ["README.md", ...await filesBelow("docs", ".md")];
}

/** The text of a page. */
export function textOf(page: string): Promise<string> {
  return Deno.readTextFile(inRepository(...page.split("/")));
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(text: string): string[] {
  const name = anchors();
  const tokens = markdown().parse(text, {});
  return tokens.flatMap((token, index) =>
    token.type === "heading_open" ? [name(plainText(tokens[index + 1]))] : []
  );
}

/** Names the headings of one page, one after the other: the second of a kind ends with -1. */
export function anchors(): (heading: string) => string {
  const used = new Map<string, number>();
  return (heading) => {
    const slug = heading.toLowerCase().replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, "")
      .replaceAll(" ", "-");
    const before = used.get(slug) ?? 0;
    used.set(slug, before + 1);
    return before === 0 ? slug : `${slug}-${before}`;
  };
}

interface Inline {
  content: string;
  children?: Inline[] | null;
  type: string;
}

/** The text of a heading or paragraph without its marks. */
export function plainText(inline: Inline | undefined): string {
  return (inline?.children ?? []).map(({ type, content, children }) =>
    type === "softbreak" ? " " : children?.length ? plainText({ type, content, children }) : content
  ).join("");
}

/** The links of a page that are no addresses elsewhere, images among them. */
export function linksOf(text: string): string[] {
  const links: string[] = [];
  for (const { children } of markdown().parse(text, {})) {
    for (const token of children ?? []) {
      const target = String(token.attrGet("href") ?? token.attrGet("src") ?? "");
      if (target && !/^(https?|mailto):/.test(target)) links.push(decodeURI(target));
    }
  }
  return links;
}
