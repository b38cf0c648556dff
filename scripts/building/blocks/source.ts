/** Files of the console as other applications get them. */
import { dirname, join } from "node:path";
import ts from "typescript";
import type { Styles } from "./styles.ts";

/** A file and what it imports. */
export interface Source {
  /** Relative to the folder of the sources. */
  path: string;
  content: string;
  /** The files that it imports, relative as `path`. */
  imports: string[];
  packages: string[];
}

/** A replacement within a file. */
interface Edit {
  start: number;
  end: number;
  text: string;
}

/** Attributes that hold classes: React's, and that of FormDialog. */
const ofClasses = new Set(["className", "look"]);

/**
 * Reads a file. Imports lose their endings, which few bundlers accept; classes and colours become
 * those of the registry.
 */
export async function readSource(folder: string, path: string, styles: Styles): Promise<Source> {
  const text = await Deno.readTextFile(join(folder, path));
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const imports: string[] = [];
  const packages = new Set<string>();
  const edits: Edit[] = [];
  const replace = (node: ts.Node, change: (text: string) => string) => {
    const start = node.getStart(file);
    const before = text.slice(start, node.end);
    const after = change(before);
    if (after !== before) edits.push({ start, end: node.end, text: after });
  };
  const take = (specifier: ts.Node | undefined) => {
    if (!specifier || !ts.isStringLiteral(specifier)) return;
    const name = specifier.text;
    if (name.startsWith(".")) {
      imports.push(join(dirname(path), name));
      replace(specifier, (text) => text.replace(/\.tsx?(?="$)/, ""));
    } else packages.add(packageOf(name));
  };
  const visit = (node: ts.Node, inClassName: boolean) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      take(node.moduleSpecifier);
      return;
    }
    // A part that is loaded when it is needed.
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      take(node.arguments[0]);
      return;
    }
    if (isText(node) && !isCompared(node)) {
      replace(node, (classes) => {
        const coloured = styles.coloured(classes);
        return inClassName ? styles.prefixed(coloured) : coloured;
      });
    }
    const within = inClassName ||
      (ts.isJsxAttribute(node) && ofClasses.has(node.name.getText(file)));
    ts.forEachChild(node, (child) => visit(child, within));
  };
  visit(file, false);
  let content = text;
  for (const { start, end, text } of edits.sort((one, other) => other.start - one.start)) {
    content = content.slice(0, start) + text + content.slice(end);
  }
  return { path, content, imports, packages: [...packages] };
}

function isText(node: ts.Node): boolean {
  return ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node) ||
    ts.isTemplateHead(node) || ts.isTemplateMiddle(node) || ts.isTemplateTail(node);
}

/** A text that something is compared with is no class. */
function isCompared({ parent }: ts.Node): boolean {
  return ts.isBinaryExpression(parent) &&
    [ts.SyntaxKind.EqualsEqualsEqualsToken, ts.SyntaxKind.ExclamationEqualsEqualsToken]
      .includes(parent.operatorToken.kind);
}

function packageOf(specifier: string): string {
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}
