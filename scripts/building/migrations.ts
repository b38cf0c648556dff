import { basename, join } from "node:path";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";
import { failed, type TestResult } from "../testing/result.ts";
import { created, statementsOf } from "./statements.ts";

/** The folder of the sources: one folder for each capability, in the order of installation. */
export const schemas = "supabase/schemas";
const migrations = "supabase/migrations";
const nobody = "public, anon, authenticated, service_role";

/**
 * The migrations generated from the sources, by path: one for each capability. After the sources all
 * privileges on the created objects are revoked from API roles; then `grants.sql` grants by name. So
 * nothing is open by accident.
 */
export async function builtMigrations(): Promise<Map<string, string>> {
  const folders = new Map<string, string[]>();
  for (const path of await filesBelow(schemas, ".sql")) {
    const folder = path.slice(schemas.length + 1).split("/")[0] ?? "";
    folders.set(folder, [...folders.get(folder) ?? [], path]);
  }
  const built = new Map<string, string>();
  for (const [folder, paths] of folders) {
    const [, number, noun] = /^(\d\d)_(\w+)$/.exec(folder) ?? [];
    if (!noun) throw new TypeError(`${schemas}/${folder} is not named <nn>_<noun>`);
    const path = `${migrations}/2026112200${number}00_bulwark_${noun}.sql`;
    built.set(path, await migrationOf(folder, paths));
  }
  return built;
}

async function migrationOf(folder: string, paths: string[]): Promise<string> {
  const isGrants = (path: string) => basename(path) === "grants.sql";
  const sources = await textsOf(paths.filter((path) => !isGrants(path)));
  const grants = await textsOf(paths.filter(isGrants));
  const header =
    `-- Built by npm run build from ${schemas}/${folder}: edit the sources, not this file.\n`;
  return [header, ...sources, closing(sources.join("\n")), ...grants].join("\n");
}

function textsOf(paths: string[]): Promise<string[]> {
  return Promise.all(paths.sort().map((path) => Deno.readTextFile(inRepository(path))));
}

/** Revokes from everybody all that a text creates. */
function closing(sql: string): string {
  const all = statementsOf(sql).map(created).filter((object) => object !== null);
  return (["table", "sequence", "function"] as const).map((kind) => {
    const names = all.filter((object) => object.kind === kind).map(({ name }) => name);
    if (names.length === 0) return "";
    return `revoke all on ${kind}\n  ${[...new Set(names)].join(",\n  ")}\n  from ${nobody};\n`;
  }).join("");
}

/** Writes the migrations, and removes those that no source makes any more. */
export async function writeMigrations(): Promise<void> {
  const built = await builtMigrations();
  for (const path of await filesBelow(migrations, ".sql")) {
    if (!built.has(path)) await Deno.remove(inRepository(path));
  }
  await Deno.mkdir(inRepository(migrations), { recursive: true });
  for (const [path, text] of built) await Deno.writeTextFile(inRepository(path), text);
}

/** The migrations in the repository are those that the sources make. */
export async function migrationsAreBuilt(): Promise<TestResult> {
  const built = await builtMigrations();
  const stale = (await filesBelow(migrations, ".sql")).filter((path) => !built.has(path));
  for (const [path, text] of built) {
    const kept = await Deno.readTextFile(join(inRepository(), path)).catch(() => "");
    if (kept !== text) stale.push(path);
  }
  return stale.length === 0
    ? { passed: 1, failures: [] }
    : failed(`out of date, run npm run build: ${stale.join(", ")}`);
}
