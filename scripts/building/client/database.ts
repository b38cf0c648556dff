/** The database's types for the client library: only tables and functions open to signed-in users. */
import ts from "typescript";
import type postgres from "postgres";

/** The parts of the database that the role `authenticated` may use. */
export interface Open {
  /** The readable columns of each table. */
  tables: Map<string, string[]>;
  /** The arguments of each function that may be left out and are null then. */
  functions: Map<string, string[]>;
  permissions: string[];
}

/** Reads what is open from a migrated database. */
export async function readOpen(sql: postgres.Sql): Promise<Open> {
  const tables = await sql<{ name: string; columns: string[] }[]>`
    select c.relname as name, array_agg(a.attname::text order by a.attname) as columns
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'bulwark'::regnamespace and c.relkind in ('r', 'v', 'p')
      and has_column_privilege('authenticated', c.oid, a.attnum, 'select')
    group by c.relname order by c.relname collate "C"`;
  const functions = await sql<{ name: string; nullable: string[] }[]>`
    select p.proname as name, coalesce(array_agg(a.name) filter (
      where pg_get_function_arg_default(p.oid, a.number::integer) ~* '^null(::|$)'), '{}') as nullable
    from pg_proc p
    left join lateral unnest(p.proargnames) with ordinality a(name, number)
      on a.number <= p.pronargs
    where p.pronamespace = 'bulwark'::regnamespace
      and has_function_privilege('authenticated', p.oid, 'execute')
    group by p.oid, p.proname order by p.proname collate "C"`;
  const permissions = await sql<{ name: string }[]>`
    select name from bulwark.permissions order by name collate "C"`;
  return {
    tables: new Map(tables.map(({ name, columns }) => [name, columns])),
    functions: new Map(functions.map(({ name, nullable }) => [name, nullable])),
    permissions: permissions.map(({ name }) => name),
  };
}

/** The permissions of an installation, as an interface that hosts extend. */
export function permissionsModule({ permissions }: Open): string {
  const fields = permissions.map((name) => `  ${JSON.stringify(name)}: true;\n`).join("");
  return `/** The permissions of Bulwark itself, as keys. */
export interface BuiltInPermissions {
${fields}}
`;
}

/** Reduces the generated types to what is open. */
export function databaseModule(source: string, open: Open): string {
  const file = ts.createSourceFile("database.types.ts", source, ts.ScriptTarget.Latest, true);
  const text = (node: ts.Node) => clientType(node.getText(file));
  const schema = membersOf(membersOf(typeNamed(file, "Database")).get("bulwark"));
  // Named, so that editors and declarations show the name.
  const rows = [...open.tables].map(([name, columns]) => {
    const fields = membersOf(membersOf(membersOf(schema.get("Tables")).get(name)).get("Row"));
    const shown = [...fields].filter(([column]) => columns.includes(column));
    return `export interface ${rowName(name)} {\n${
      shown.map(([column, type]) => `  ${column}: ${text(type)};\n`).join("")
    }}\n\n`;
  });
  const names = [...open.tables.keys()].map((name) => `  ${name}: ${rowName(name)};\n`);
  const functions = [...open.functions].map(([name, nullable]) => {
    const declared = membersOf(membersOf(schema.get("Functions")).get(name));
    return `  ${name}: {\n    Args: ${argumentsOf(declared.get("Args"), nullable, text)};\n` +
      `    Returns: ${returnsOf(declared, open, text)};\n  };\n`;
  });
  const enums = [...membersOf(schema.get("Enums"))].map(([name, type]) =>
    `  ${name}: ${text(type)};\n`
  );
  const composites = [...membersOf(schema.get("CompositeTypes"))].map(([name, type]) =>
    `  ${name}: ${text(type)};\n`
  );
  return `export type Json = string | number | boolean | null | { [key: string]: Json } | Json[];

${rows.join("")}
/** Rows of the tables that signed-in users may read, with the columns open to them. */
export interface Rows {
${names.join("")}}

/** The functions that signed-in users may execute. */
export interface Functions {
${functions.join("")}}

export interface Enums {
${enums.join("")}}

export interface CompositeTypes {
${composites.join("")}}
`;
}

function rowName(table: string): string {
  return `${table.replaceAll(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase())}Row`;
}

function typeNamed(file: ts.SourceFile, name: string): ts.TypeNode {
  for (const statement of file.statements) {
    if (ts.isTypeAliasDeclaration(statement) && statement.name.text === name) return statement.type;
  }
  throw new TypeError(`the generated types have no ${name}`);
}

function membersOf(type: ts.TypeNode | undefined): Map<string, ts.TypeNode> {
  const members = new Map<string, ts.TypeNode>();
  if (!type || !ts.isTypeLiteralNode(type)) return members;
  for (const member of type.members) {
    if (!ts.isPropertySignature(member) || !member.type) continue;
    const { name } = member;
    if (ts.isStringLiteral(name) || ts.isIdentifier(name)) members.set(name.text, member.type);
  }
  return members;
}

/** A generated type by the names of the client; types that it calls unknown are text in JSON. */
function clientType(text: string): string {
  return text.replaceAll(/Database\["bulwark"\]\["(\w+)"\]/g, "$1")
    .replaceAll(/\bunknown\b/g, "string")
    .replaceAll("NonNullable<Json>", "Json")
    .replaceAll(/\((\w+(?:\["\w+"\])?)\)(?=\[\])/g, "$1")
    .replaceAll(/"(\w+)"(?=\??:)/g, "$1");
}

function argumentsOf(
  type: ts.TypeNode | undefined,
  nullable: readonly string[],
  text: (node: ts.Node) => string,
): string {
  if (!type || !ts.isTypeLiteralNode(type)) return "Record<PropertyKey, never>";
  const fields = type.members.map((member) => {
    if (!ts.isPropertySignature(member) || !member.type) return "";
    const name = clientType(member.name.getText()).replaceAll('"', "");
    const type = text(member.type);
    const value = type.endsWith("[]") ? `readonly ${type}` : type;
    if (!member.questionToken) return `      ${name}: ${value};\n`;
    const orNull = nullable.includes(name) ? " | null" : "";
    return `      ${name}?: ${value}${orNull} | undefined;\n`;
  });
  return `{\n${fields.join("")}    }`;
}

/** A function that returns rows of a table refers to them. */
function returnsOf(
  declared: Map<string, ts.TypeNode>,
  { tables }: Open,
  text: (node: ts.Node) => string,
): string {
  const returned = declared.get("Returns");
  const to = membersOf(declared.get("SetofOptions")).get("to")?.getText().replaceAll('"', "") ?? "";
  if (!returned || !tables.has(to)) return returned ? text(returned) : "undefined";
  return ts.isArrayTypeNode(returned) ? `Rows["${to}"][]` : `Rows["${to}"]`;
}
