/**
 * Edits of config.toml: text is inserted and cut, and everything else stays as it is, comments and
 * order included. Each result is parsed again; where it would not say what it should, the edit is
 * refused and nothing is written.
 */
import { type AST, getStaticTOMLValue, ParseError, parseTOML } from "toml-eslint-parser";
import { CliError, reason } from "./errors.ts";
import { configPath } from "./project.ts";

/** A table that Bulwark adds. */
export interface Section {
  name: string;
  lines: string[];
  /** A comment above it. */
  comment?: string;
}

/** The tables of an installation: the hook, and the functions, which verify tokens themselves. */
export function sectionsFor(functionNames: string[]): Section[] {
  return [
    {
      name: hookSection,
      comment: "# Bulwark: adds organizations and roles to tokens, for display only.",
      lines: ["enabled = true", `uri = "${hookUri}"`],
    },
    ...functionNames.map((name, index) => ({
      name: `functions.${name}`,
      lines: ["verify_jwt = false"],
      ...index === 0
        ? { comment: "# Bulwark: its functions verify tokens and keys themselves." }
        : {},
    })),
  ];
}

export const hookSection = "auth.hook.custom_access_token";
export const hookUri = "pg-functions://postgres/bulwark/custom_access_token_hook";
const comments = new Set(sectionsFor(["any"]).map(({ comment }) => comment));

/** A value of the configuration by its dotted path; undefined if it is not set. */
export function configValue(text: string, path: string): unknown {
  return path.split(".").reduce<unknown>(
    (value, name) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, name)
        ? (value as Record<string, unknown>)[name]
        : undefined,
    getStaticTOMLValue(parse(text)),
  );
}

/** Adds a schema to api.schemas. */
export function exposeSchema(text: string, schema: string): string {
  const program = parse(text);
  const present = configValue(text, "api.schemas");
  if (Array.isArray(present) && present.includes(schema)) return text;
  const list = nodeAt(program, ["api", "schemas"]);
  let edited: string;
  if (list?.type === "TOMLArray") {
    const last = list.elements.at(-1);
    edited = last
      ? insert(text, last.range[1], `,${gapBefore(text, last)}"${schema}"`)
      : insert(text, list.range[0] + 1, `"${schema}"`);
  } else {
    // Without the setting Supabase exposes these two.
    const line = `schemas = ["public", "graphql_public", "${schema}"]`;
    const table = tableAt(program, "api");
    edited = table
      ? insert(text, endOfLine(text, headerEnd(text, table)), `${newline(text)}${line}`)
      : append(text, ["[api]", line]);
  }
  return checked(edited, "api.schemas", (value) => Array.isArray(value) && value.includes(schema));
}

/** Takes a schema out of api.schemas; `added` removes the setting if it is as it was added. */
export function hideSchema(text: string, schema: string, how: "added" | "extended"): string {
  const list = nodeAt(parse(text), ["api", "schemas"]);
  if (list?.type !== "TOMLArray") return text;
  const index = list.elements.findIndex((element) =>
    element.type === "TOMLValue" && element.value === schema
  );
  const element = list.elements[index];
  if (!element) return text;
  const line = /^schemas = \["public", "graphql_public", "bulwark"\]\r?\n?/m.exec(text);
  if (how === "added" && line) {
    // Supabase's own files have this table with more in it.
    if (tableAt(parse(text), "api")?.body.length === 1) return removeSections(text, ["api"]);
    return text.slice(0, line.index) + text.slice(line.index + line[0].length);
  }
  const previous = list.elements[index - 1];
  const next = list.elements[index + 1];
  const [start, end] = previous && /^\s*,\s*$/.test(text.slice(previous.range[1], element.range[0]))
    ? [previous.range[1], element.range[1]]
    : [element.range[0], next?.range[0] ?? element.range[1]];
  return checked(
    text.slice(0, start) + text.slice(end),
    "api.schemas",
    (value) => Array.isArray(value) && !value.includes(schema),
  );
}

/** Adds the tables that the configuration does not have, at its end. */
export function addSections(text: string, sections: Section[]): string {
  let edited = text;
  for (const { name, comment, lines } of sections) {
    if (configValue(edited, name) !== undefined) continue;
    edited = append(edited, [...comment ? [comment] : [], `[${name}]`, ...lines]);
    checked(edited, name, (value) => value !== undefined);
  }
  return edited;
}

/** Removes tables by their names, with the comment that Bulwark wrote and the blank line above. */
export function removeSections(text: string, names: string[]): string {
  let edited = text;
  for (const name of names) {
    const table = tableAt(parse(edited), name);
    if (!table) continue;
    const contentEnd = table.body.at(-1)?.range[1] ?? headerEnd(edited, table);
    const end = endOfLine(edited, contentEnd) + newline(edited).length;
    let start = edited.lastIndexOf("\n", table.range[0] - 1) + 1;
    const above = lineAbove(edited, start);
    if (above && comments.has(above.text)) start = above.start;
    if (lineAbove(edited, start)?.text === "") start = lineAbove(edited, start)?.start ?? start;
    edited = edited.slice(0, start) + edited.slice(end);
  }
  parse(edited);
  return edited;
}

function parse(text: string): AST.TOMLProgram {
  try {
    return parseTOML(text.replace(/^\uFEFF/, " "));
  } catch (thrown) {
    const line = thrown instanceof ParseError ? `:${thrown.lineNumber}` : "";
    throw new CliError("CLI_INVALID_CONFIG", `Cannot read ${configPath}${line}: ${reason(thrown)}`);
  }
}

function checked(text: string, path: string, holds: (value: unknown) => boolean): string {
  let value: unknown;
  try {
    value = configValue(text, path);
  } catch {
    value = undefined;
  }
  if (holds(value)) return text;
  throw new CliError(
    "CLI_CONFIG_NOT_EDITABLE",
    `Cannot change ${path} in ${configPath}, as it is written there: write the table ` +
      `[${path.slice(0, path.lastIndexOf("."))}] with a header of its own` +
      (path === "api.schemas" ? ", and schemas as a list" : ""),
  );
}

function nodeAt(program: AST.TOMLProgram, path: string[]): AST.TOMLContentNode | null {
  const search = (
    body: (AST.TOMLKeyValue | AST.TOMLTable)[],
    prefix: string[],
  ): AST.TOMLContentNode | null => {
    for (const node of body) {
      const full = [...prefix, ...node.key.keys.map(nameOf)];
      const isOnTheWay = full.every((name, index) => name === path[index]);
      if (!isOnTheWay) continue;
      if (node.type === "TOMLTable") {
        const found = search(node.body, full);
        if (found) return found;
      } else if (full.length === path.length) {
        return node.value;
      } else if (node.value.type === "TOMLInlineTable") {
        return search(node.value.body, full);
      }
    }
    return null;
  };
  return search(program.body[0].body, []);
}

function tableAt(program: AST.TOMLProgram, name: string): AST.TOMLTable | null {
  for (const node of program.body[0].body) {
    if (node.type === "TOMLTable" && node.key.keys.map(nameOf).join(".") === name) return node;
  }
  return null;
}

function nameOf(key: AST.TOMLBare | AST.TOMLQuoted): string {
  return key.type === "TOMLBare" ? key.name : key.value;
}

/** Where a table's header ends: after its closing bracket. */
function headerEnd(text: string, table: AST.TOMLTable): number {
  return text.indexOf("]", table.key.range[1]) + 1;
}

/** The space before an element that is on a line of its own, so that the next one is too. */
function gapBefore(text: string, node: AST.TOMLNode): string {
  const start = text.lastIndexOf("\n", node.range[0] - 1) + 1;
  const indent = text.slice(start, node.range[0]);
  return start > 0 && /^[ \t]*$/.test(indent) ? newline(text) + indent : " ";
}

function lineAbove(text: string, start: number): { text: string; start: number } | null {
  if (start === 0) return null;
  const begin = text.lastIndexOf("\n", start - 2) + 1;
  return { text: text.slice(begin, start).replace(/\r?\n$/, ""), start: begin };
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  if (end < 0) return text.length;
  return text[end - 1] === "\r" ? end - 1 : end;
}

function newline(text: string): string {
  return text.includes("\r\n") ? "\r\n" : "\n";
}

function insert(text: string, at: number, addition: string): string {
  return text.slice(0, at) + addition + text.slice(at);
}

function append(text: string, lines: string[]): string {
  const end = newline(text);
  const closed = text === "" || text.endsWith("\n") ? text : text + end;
  return closed + (closed === "" ? "" : end) + lines.join(end) + end;
}
