/** The top-level statements of an SQL file, each with its semicolon and the comments before it. */
export function statementsOf(sql: string): string[] {
  const statements: string[] = [];
  // Comments, dollar-quoted bodies, strings and quoted names: a semicolon in them ends nothing.
  const token = /--[^\n]*|(?<!\w)(\$\w*\$)[\s\S]*?\1|'(?:[^']|'')*'|"(?:[^"]|"")*"|;/g;
  let start = 0;
  for (const match of sql.matchAll(token)) {
    if (match[0] !== ";") continue;
    statements.push(sql.slice(start, match.index + 1));
    start = match.index + 1;
  }
  return statements;
}

/** A statement without the comments and blank lines before it. */
export function withoutLeadingComments(statement: string): string {
  return statement.replace(/^(?:\s+|--[^\n]*(?:\n|$))*/, "");
}

/** An object that a statement creates, with the name by which `revoke` knows it. */
export interface Created {
  kind: "function" | "table" | "sequence";
  name: string;
}

/** The function, table, view or sequence that a statement creates, if it creates one. */
export function created(statement: string): Created | null {
  const text = withoutLeadingComments(statement);
  const signature = /^create (?:or replace )?function ([\w.]+)\s*\(/.exec(text);
  if (signature) {
    const parameters = argumentsAfter(text.slice(signature[0].length));
    return { kind: "function", name: `${signature[1]}(${parameters.join(", ")})` };
  }
  const [, kind, name] = /^create (?:unlogged )?(table|view|sequence) ([\w.]+)/.exec(text) ?? [];
  return name ? { kind: kind === "sequence" ? "sequence" : "table", name } : null;
}

/** The arguments up to the closing parenthesis, each without its default. */
function argumentsAfter(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let current = "";
  for (const part of text.matchAll(/'(?:[^']|'')*'|[\s\S]/g)) {
    const character = part[0];
    if (depth === 0 && (character === "," || character === ")")) {
      found.push(current);
      current = "";
      if (character === ")") break;
      continue;
    }
    if (character === "(" || character === "[") depth++;
    if (character === ")" || character === "]") depth--;
    current += character;
  }
  return found
    .map((argument) =>
      argument.replace(/\s+(?:default|=)\s[\s\S]*$/, "").replace(/\s+/g, " ").trim()
    )
    .filter((argument) => argument !== "");
}
