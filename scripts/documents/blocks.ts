/** The blocks of code of a page, with how they are run (CONTRIBUTING.md, "Documents that run"). */
import { markdown } from "./markdown.ts";

/** A block of a page. */
export interface Block {
  /** The heading above it. */
  section: string;
  language: string;
  text: string;
  /** The number of its first line. */
  line: number;
  /** Setup runs and is not shown; output is compared with the block before it. */
  kind: "run" | "setup" | "output" | "check" | "skip";
  /** Why it is not run. */
  reason: string;
  /** The person or role that runs it. */
  as: string;
  /** The code with which it must fail. */
  fails: string | null;
  /** Whether the numbers of an output differ each time. */
  anyNumbers: boolean;
}

/** The languages that are run, and those that are only examined. */
const executed = ["sql", "sh", "js", "ts", "tsx", "http"];
const examined = ["json", "toml", "mermaid"];

/** A page that does not keep to the convention. */
export class Unclear extends Error {}

/** Reads the blocks of a page, and refuses comments and languages that nobody would run. */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  let section = "";
  let comments: string[] = [];
  const tokens = markdown().parse(text, {});
  for (const [index, { type, content, info, map }] of tokens.entries()) {
    const line = (map?.[0] ?? 0) + 1;
    if (type === "heading_open") section = tokens[index + 1]?.content ?? "";
    if (type === "html_block") {
      const found = [...content.matchAll(/<!-- docs: ([^]*?) ?-->/g)].map(([, rule = ""]) => rule);
      for (const rule of found) {
        const [, language, lines] = /^setup (\w+)\n([^]*)$/.exec(rule) ?? [];
        if (language === undefined) comments.push(rule);
        else blocks.push(block({ section, language, text: lines ?? "", line, rules: ["setup"] }));
      }
    } else if (type === "fence") {
      const language = info.trim();
      const found = block({ section, language, text: content, line, rules: comments });
      if (found.kind === "output" && !["run", "output"].includes(blocks.at(-1)?.kind ?? "")) {
        throw new Unclear(`line ${line}: no block is run whose output this is`);
      }
      if (found.kind === "output" && /^[…\s]*$/.test(content)) {
        throw new Unclear(`line ${line}: every output is like this one`);
      }
      blocks.push(found);
      comments = [];
    } else if (type === "code_block") {
      throw new Unclear(`line ${line}: an indented block is not run`);
    } else if (comments.length > 0 && !type.endsWith("_close")) {
      throw new Unclear(`line ${line}: no block follows <!-- docs: ${comments.join()} -->`);
    }
  }
  return blocks;
}

interface Found extends Pick<Block, "section" | "language" | "text" | "line"> {
  rules: string[];
}

function block({ rules, ...found }: Found): Block {
  const { language, line } = found;
  const result: Block = {
    ...found,
    kind: "run",
    reason: "",
    as: "",
    fails: null,
    anyNumbers: false,
  };
  if (language === "text") result.kind = "output";
  else if (examined.includes(language)) result.kind = "check";
  else if (!executed.includes(language) && language !== "html") {
    throw new Unclear(`line ${line}: unknown language ${language || "(none)"}`);
  }
  for (const rule of rules) {
    const [, name = "", value = ""] = /^(\w+):? ?(.*)$/.exec(rule) ?? [];
    if ((name === "output" || name === "setup") && !value) result.kind = name;
    else if (rule === "output: any numbers") {
      Object.assign(result, { kind: name, anyNumbers: true });
    } else if (name === "as" && value) result.as = value;
    else if (name === "fails" && value) result.fails = value;
    else if ((name === "skip" || name === "check") && value) {
      Object.assign(result, { kind: name, reason: value });
    } else throw new Unclear(`line ${line}: <!-- docs: ${rule} --> says nothing`);
  }
  if (language === "html" && !result.reason) {
    throw new Unclear(`line ${line}: html needs the test that opens it: <!-- docs: check: … -->`);
  }
  return result;
}
