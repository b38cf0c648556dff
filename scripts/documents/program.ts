/**
 * The js, ts and tsx blocks of a page as one program. Each block is nested in the one before, so that it
 * sees the names of those before and may use one again. Types are checked and statements run on the
 * same text.
 */
import ts from "typescript";
import type { Block } from "./blocks.ts";

/** The types of the names that blocks may use, and how the program tells the test where it is. */
const prologue = `
import type { Client } from "@bulwark/client";
import type { SupabaseClient } from "@supabase/supabase-js";
interface Names {
  supabase: SupabaseClient;
  serviceClient: SupabaseClient;
  bulwark: Client<true>;
  url: string;
  publishableKey: string;
  organization_id: string;
  acme: { id: string; name: string; slug: string };
  user_id: string;
  token: string;
  email: string;
  password: string;
  code: string;
  secret: string;
  request: Request;
  blob: Blob;
  file: { writable: WritableStream<Uint8Array> };
  sql: { begin(work: (sql: any) => Promise<void>): Promise<void> };
  console: Console;
  show(...values: unknown[]): void;
  act(...values: unknown[]): Promise<void>;
  askForCode(): Promise<string | null>;
  suggestAnotherSlug(): void;
  secondFactor(): Promise<void>;
}
interface PageOfTest extends Names {
  as(person: string): Pick<Names, "supabase" | "bulwark">;
  start(block: number): Promise<void>;
  end(block: number, names: Record<string, unknown>): void;
  failed(block: number, thrown: unknown): void;
  settled<Value>(value: Value): Value;
}
const _page = (globalThis as unknown as { page: PageOfTest }).page;
`;
const granted = [...prologue.matchAll(/^ {2}(\w+)[:(]/gm)].map(([, name = ""]) => name)
  .filter((name) => !["as", "start", "end", "failed"].includes(name));

/** Program text for a page's blocks; with `run`, only of those that are run. */
export function programOf(blocks: readonly Block[], { run }: { run: boolean }): string {
  const imports = new Map<string, Set<string>>();
  const outside: string[] = [];
  const inside: string[] = [];
  let depth = 0;
  for (const [index, block] of blocks.entries()) {
    const isRun = block.kind === "run" || block.kind === "setup";
    if (!isScript(block) || !(isRun || !run && block.kind === "check")) continue;
    const { body, names, takes, augments } = partsOf(block);
    for (const [from, what] of takes) {
      imports.set(from, new Set([...imports.get(from) ?? [], ...what]));
    }
    if (augments) {
      outside.push(body);
      continue;
    }
    inside.push(`await _page.start(${index});`);
    if (block.as) {
      inside.push(`{ const { supabase, bulwark } = _page.as(${JSON.stringify(block.as)});`);
      depth++;
    }
    if (block.fails) {
      inside.push(`{ let thrown: unknown; try {`, body, `} catch (caught) { thrown = caught; }`);
      inside.push(`_page.failed(${index}, thrown);`);
    } else inside.push("{", body, `_page.end(${index}, { ${names.join(", ")} });`);
    depth++;
  }
  if (inside.length + outside.length === 0) return "";
  const taken = [...imports.values()].flatMap((names) => [...names]);
  const isTaken = (name: string) => taken.some((one) => one.replace(/^{/, "") === name);
  return [
    "/** @jsxImportSource react */",
    ...[...imports].map(([from, what]) => importOf(from, [...what])),
    prologue,
    `const { ${granted.filter((name) => !isTaken(name)).join(", ")} } = _page;`,
    ...outside,
    ...inside,
    "}".repeat(depth),
    "",
  ].join("\n");
}

/** Whether a block is part of the program. */
export function isScript({ language }: Block): boolean {
  return ["js", "ts", "tsx"].includes(language);
}

function importOf(from: string, what: string[]): string {
  const named = what.filter((name) => name.startsWith("{")).map((name) => name.slice(1));
  const lines = what.filter((name) => !name.startsWith("{"))
    .map((name) => `import ${name} from ${JSON.stringify(from)};`);
  if (named.length > 0) {
    lines.push(`import { ${named.join(", ")} } from ${JSON.stringify(from)};`);
  }
  return lines.join("\n");
}

interface Parts {
  body: string;
  /** The names that the block declares. */
  names: string[];
  takes: Map<string, string[]>;
  /** Whether it extends a module's types, which only the top of a program can. */
  augments: boolean;
}

function partsOf({ text, language, fails }: Block): Parts {
  const kind = language === "tsx" ? ts.ScriptKind.TSX : ts.ScriptKind.TS;
  const source = ts.createSourceFile("block.tsx", text, ts.ScriptTarget.ES2022, true, kind);
  const parts: Parts = { body: "", names: [], takes: new Map(), augments: false };
  const edits: { at: number; until: number; text: string }[] = [];
  const settle = (node: ts.Node) => {
    edits.push({ at: node.getStart(), until: node.getStart(), text: "_page.settled(" });
    edits.push({ at: node.end, until: node.end, text: ")" });
  };
  for (const statement of source.statements) {
    if (ts.isImportDeclaration(statement)) {
      const { text: from } = statement.moduleSpecifier as ts.StringLiteral;
      parts.takes.set(from, [...parts.takes.get(from) ?? [], ...namesOf(statement)]);
      edits.push({ at: statement.pos, until: statement.end, text: "" });
    } else if (ts.isExportDeclaration(statement)) {
      edits.push({ at: statement.pos, until: statement.end, text: "" });
    } else if (ts.isModuleDeclaration(statement)) parts.augments = true;
    else if (ts.isExpressionStatement(statement) && ts.isAwaitExpression(statement.expression)) {
      settle(statement.expression);
    } else if (ts.isVariableStatement(statement)) {
      for (const { name, initializer } of statement.declarationList.declarations) {
        const declared = boundNames(name);
        parts.names.push(...declared);
        const handled = ts.isIdentifier(name) ||
          name.elements.some((element) => element.getText().startsWith("error"));
        if (initializer && ts.isAwaitExpression(initializer) && (fails || !handled)) {
          settle(initializer);
        }
      }
    }
    for (const modifier of ts.canHaveModifiers(statement) ? ts.getModifiers(statement) ?? [] : []) {
      if (/^(export|default)$/.test(modifier.getText())) {
        edits.push({ at: modifier.getStart(), until: modifier.end, text: "" });
      }
    }
    if (ts.isExportAssignment(statement)) {
      edits.push({
        at: statement.getStart(),
        until: statement.expression.getStart(),
        text: "void ",
      });
    }
  }
  edits.sort((one, other) => other.at - one.at);
  parts.body = edits.reduce(
    (body, { at, until, text }) => body.slice(0, at) + text + body.slice(until),
    text,
  );
  return parts;
}

/** Imported names: `{name` for one in braces, else as it is written. */
function namesOf({ importClause }: ts.ImportDeclaration): string[] {
  const { name, namedBindings } = importClause ?? {};
  const found = name ? [name.text] : [];
  if (!namedBindings) return found;
  if (ts.isNamespaceImport(namedBindings)) return [...found, namedBindings.getText()];
  const type = importClause?.isTypeOnly ? "type " : "";
  return [...found, ...namedBindings.elements.map((one) => `{${type}${one.getText()}`)];
}

function boundNames(name: ts.BindingName): string[] {
  if (ts.isIdentifier(name)) return [name.text];
  return name.elements.flatMap((element) =>
    ts.isBindingElement(element) ? boundNames(element.name) : []
  );
}

/** The program as JavaScript, with other specifiers where there is no package of that name. */
export function compiled(program: string, replace: (specifier: string) => string): string {
  const { outputText } = ts.transpileModule(program, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      jsx: ts.JsxEmit.ReactJSX,
    },
    fileName: "page.tsx",
  });
  return outputText.replaceAll(
    /^(import [^;]*?from )"([^"]+)";$/gm,
    (_, names, specifier) => `${names}${JSON.stringify(replace(specifier))};`,
  );
}
