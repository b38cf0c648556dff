/**
 * Tells which results of the database's functions can be null. Postgres does not know it; the types of
 * the client do (`clients/js/src/overlay.ts`), and tests compare those with answers.
 */
import ts from "typescript";
import { inRepository } from "../../stack/paths.ts";
import type { Catalogue, Column } from "./catalogue.ts";

/** The parts of a function's result that can be null. */
interface Nullable {
  /** The result as a whole. */
  whole: boolean;
  /** Its columns, or those of its rows. */
  columns: Map<string, boolean>;
}

const folder = inRepository("clients", "js", "src");
const entry = `${folder}/returns_of_functions.ts`;
const program = `
import type { FunctionName, Returns } from "./overlay.ts";
export type Results = { [Name in FunctionName]: Returns<Name> };
`;

/** Marks the results of a catalogue. `changed` has files of the client that are not written yet. */
export function markNullable(catalogue: Catalogue, changed: Map<string, string>): Catalogue {
  const results = readResults(changed);
  const isTable = new Set(catalogue.tables.map(({ name }) => name));
  const rows = new Map(catalogue.rows);
  const functions = catalogue.functions.map((called) => {
    const known = results.get(called.name);
    if (!known) return called;
    const mark = (columns: readonly Column[]) =>
      columns.map((column) => ({
        ...column,
        nullable: known.columns.get(column.name) ?? column.nullable,
      }));
    if (called.returnsTable) return { ...called, returns: mark(called.returns) };
    const nullable = known.whole && !called.returnsSet;
    for (const { type } of called.returns) {
      const name = type.replace(/^bulwark\./, "");
      // Nothing in the database is known of a composite type; a table says it itself.
      if (rows.has(name) && !isTable.has(name)) rows.set(name, mark(rows.get(name) ?? []));
    }
    return { ...called, returns: called.returns.map((column) => ({ ...column, nullable })) };
  });
  return { ...catalogue, functions, rows };
}

function readResults(changed: Map<string, string>): Map<string, Nullable> {
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    allowImportingTsExtensions: true,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const given = new Map([[entry, program]]);
  for (const [path, text] of changed) given.set(inRepository(path), text);
  const { readFile, fileExists } = host;
  host.fileExists = (path) => given.has(path) || fileExists(path);
  host.readFile = (path) => given.get(path) ?? readFile(path);
  const made = ts.createProgram([entry], options, host);
  const checker = made.getTypeChecker();
  const source = made.getSourceFile(entry);
  const symbol = source &&
    checker.getSymbolAtLocation(source)?.exports?.get("Results" as ts.__String);
  if (!symbol) throw new TypeError("the types of the client name no results");
  const canBeNull = (type: ts.Type) =>
    (type.isUnion() ? type.types : [type])
      .some(({ flags }) => (flags & (ts.TypeFlags.Null | ts.TypeFlags.Undefined)) !== 0);
  const results = new Map<string, Nullable>();
  for (const property of checker.getDeclaredTypeOfSymbol(symbol).getProperties()) {
    const type = checker.getTypeOfSymbol(property);
    const whole = checker.getNonNullableType(type);
    const row = checker.isArrayType(whole)
      ? checker.getTypeArguments(whole as ts.TypeReference)[0] ?? whole
      : whole;
    const columns = new Map(
      row.getProperties().map((column) =>
        [column.name, canBeNull(checker.getTypeOfSymbol(column))] as const
      ),
    );
    results.set(property.name, { whole: canBeNull(type), columns });
  }
  return results;
}
