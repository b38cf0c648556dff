import { basename } from "node:path";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";
import { capabilities } from "./capabilities.ts";
import { created, statementsOf, withoutLeadingComments } from "./statements.ts";

/** The pgTAP file that adopters run. */
export const installedTest = "supabase/tests/bulwark_installed.test.sql";

const header =
  `-- The protections that hold wherever Bulwark is installed, with any capabilities, in a project in
-- use. Judges Bulwark's own objects and its guards alone, changes nothing and rolls back. Run it
-- with supabase test db.
-- Built by npm run build from scripts/building/installed.sql and supabase/schemas: do not edit.
`;

/** Builds the file: what must hold, with lists of all objects, grants and policies of the sources. */
export async function builtInstalledTest(): Promise<string> {
  const objects: Row[] = [];
  const grants: Row[] = [];
  const policies: string[] = [];
  const known = new Set<string>();
  for (const { name: noun, folder } of capabilities) {
    const paths = await filesBelow(`supabase/schemas/${folder}`, ".sql");
    // Grants last, as in the migration.
    paths.sort((one, other) => Number(isGrants(one)) - Number(isGrants(other)));
    const texts = await Promise.all(paths.map((path) => Deno.readTextFile(inRepository(path))));
    const text = texts.join("\n");
    const statements = statementsOf(text).map(withoutLeadingComments);
    const made = statements.map(created).filter((object) => object !== null);
    const named = (kind: string) => {
      const names = made.filter((object) => object.kind === kind)
        .map(({ name }) => name.replace(/\(.*/s, ""))
        // Everything in bulwark_private is ours, so that its functions need no list.
        .filter((name) => !known.has(name) && (kind === "table" || name.startsWith("bulwark.")));
      return [...new Set(names)].sort();
    };
    for (const kind of ["table", "function"]) {
      const names = named(kind);
      if (names.length > 0) objects.push({ fields: [noun, kind], names });
      names.forEach((name) => known.add(name));
    }
    const triggers = triggersOf(text);
    if (triggers.length > 0) objects.push({ fields: [noun, "trigger"], names: triggers });
    const audited = [...text.matchAll(/^select bulwark\.enable_audit\(\s*'([\w.]+)'/gm)];
    if (audited.length > 0) {
      objects.push({ fields: [noun, "audited"], names: audited.map(([, name]) => name ?? "") });
    }
    grants.push(...statements.flatMap((statement) => grantsOf(noun, statement)));
    policies.push(...statements.flatMap((statement) => policyOf(noun, statement)));
  }
  const template = await Deno.readTextFile(inRepository("scripts", "building", "installed.sql"));
  return header + template
    .replace("@OBJECTS@", () => objects.map((row) => rowOf(row, " ")).join(",\n  "))
    .replace("@GRANTS@", () => grants.map((row) => rowOf(row, "; ")).join(",\n  "))
    .replace("@POLICIES@", () => policies.sort().join(",\n  "));
}

interface Row {
  fields: string[];
  names: string[];
}

const isGrants = (path: string) => basename(path) === "grants.sql";

/** Triggers with a name of their own, as `table:trigger`; functions that make some are read, too. */
function triggersOf(text: string): string[] {
  const pattern =
    /create (?:or replace )?trigger (\w+)\s+(?:before|after)\s[\w\s,]*?\bon\s+((?:bulwark|bulwark_private|auth)\.\w+)/g;
  return [...new Set([...text.matchAll(pattern)].map(([, name, table]) => `${table}:${name}`))]
    .sort();
}

/** The rows of a grant; of a grant of a role there are none. */
function grantsOf(noun: string, statement: string): Row[] {
  const [, privilege = "", kind = "table", names = "", roles = ""] =
    /^grant ([\s\S]+?)\s+on\s+(?:(function|table|schema)\s+)?([\s\S]+?)\s+to\s+([\w\s,]+);$/
      .exec(statement) ?? [];
  if (!names) return [];
  const objects = names.split(/,(?![^(]*\))/).map((name) => name.replace(/\s+/g, " ").trim());
  const to = roles.split(",").map((role) => role.trim()).sort().join(" ");
  return [{
    fields: [noun, kind, privilege.replace(/\s+/g, " ").replace(/ (?=\))|(?<=\() /g, ""), to],
    names: objects,
  }];
}

/** The values of a permissive policy of ours. */
function policyOf(noun: string, statement: string): string[] {
  const [, name = "", table = "", mode, command = "all", roles = "public"] =
    /^create policy "([^"]+)"\s+on\s+([\w.]+)(?:\s+as\s+(\w+))?(?:\s+for\s+(\w+))?(?:\s+to\s+([\w\s,]+?))?\s+(?:using|with)\b/
      .exec(statement) ?? [];
  if (!name || mode === "restrictive") return [];
  const to = roles.split(",").map((role) => role.trim()).sort().join(" ");
  const values = [noun, table, command, to].map((text) => `'${text}'`).join(", ");
  return [`(${values},\n    '${name.replaceAll("'", "''")}')`];
}

/** A row of values whose last is a list of names, in lines of at most 100 characters. */
function rowOf({ fields, names }: Row, separator: string): string {
  const lines = [""];
  const words = names.map((name, index) =>
    index + 1 < names.length ? name + separator.trimEnd() : name
  ).flatMap((name) => name.split(" "));
  for (const word of words) {
    const line = lines.at(-1) ?? "";
    if (line !== "" && line.length + word.length > 94) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  const text = lines.map((line) => `    ${line}`).join("\n");
  const first = fields.map((field) => `'${field}'`).join(", ");
  return `(${first.length > 75 ? first.replaceAll(", '", ",\n  '") : first}, '\n${text}\n  ')`;
}
