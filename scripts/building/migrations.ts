import { basename, dirname, join } from "node:path";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";
import { failed, type TestResult } from "../testing/result.ts";
import { capabilities } from "./capabilities.ts";
import { builtClient } from "./client/mod.ts";
import { builtInstalledTest, installedTest } from "./installed.ts";
import {
  frozenVersions,
  nextFolder,
  readByHand,
  readFrozen,
  releaseMigrations,
  type Version,
} from "./releases.ts";
import { type Created, created, statementsOf, withoutLeadingComments } from "./statements.ts";

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
  const built = new Map<string, string>();
  for (const [folder, text] of await builtVersion()) {
    built.set(
      `${migrations}/2026112200${folder.slice(0, 2)}00_bulwark_${nounOf(folder)}.sql`,
      text,
    );
  }
  return built;
}

/** The migrations generated from the sources, by source folder. */
export async function builtVersion(): Promise<Version> {
  const folders = new Map<string, string[]>();
  for (const path of await filesBelow(schemas, ".sql")) {
    const folder = path.slice(schemas.length + 1).split("/")[0] ?? "";
    folders.set(folder, [...folders.get(folder) ?? [], path]);
  }
  const version = await packageVersion();
  const built: Version = new Map();
  const known = new Set<string>();
  for (const [folder, paths] of folders) {
    built.set(folder, await migrationOf(folder, paths, { version, known }));
  }
  return built;
}

function nounOf(folder: string): string {
  const noun = /^\d\d_(\w+)$/.exec(folder)?.[1];
  if (!noun) throw new TypeError(`${schemas}/${folder} is not named <nn>_<noun>`);
  return noun;
}

/** The version in package.json, the only place where it is written. */
export async function packageVersion(): Promise<string> {
  return JSON.parse(await Deno.readTextFile(inRepository("package.json"))).version;
}

/** The migration of a folder. `known` are the functions of the folders before; it adds its own. */
async function migrationOf(
  folder: string,
  paths: string[],
  { version, known }: { version: string; known: Set<string> },
): Promise<string> {
  const isGrants = (path: string) => basename(path) === "grants.sql";
  const sources = await textsOf(paths.filter((path) => !isGrants(path)));
  const grants = await textsOf(paths.filter(isGrants));
  const header =
    `-- Built by npm run build from ${schemas}/${folder}: edit the sources, not this file.\n`;
  const statements = statementsOf(sources.join("\n"));
  const made = statements.map(created).filter((object) => object !== null);
  for (const statement of statements.map(withoutLeadingComments)) {
    const name = statement.startsWith("create or replace") && created(statement)?.name;
    if (name && !known.has(name)) throw new TypeError(`${folder} replaces ${name}, which is new`);
  }
  // A replaced function keeps its privileges.
  const added = made.filter(({ name }) => !known.has(name));
  added.forEach(({ name }) => known.add(name));
  const parts = [...sources, revokes(added), ...grants];
  const noun = nounOf(folder);
  // The start is no capability: it ends every installation.
  if (noun !== "start") {
    parts.push(`insert into bulwark_private.capabilities values ('${noun}', '${version}');\n`);
  }
  if (capabilities.some((each) => each.folder === folder && !each.core)) {
    parts.unshift(close);
    // Last, because a grant changes what the seal watches, too.
    parts.push(refresh);
  }
  return [header, ...parts].join("\n");
}

const close = `-- A restore may have opened privileges. The start would take them for expected ones.
do $$
begin
  if to_regprocedure('bulwark.close_privileges()') is not null then
    perform bulwark.close_privileges();
  end if;
end;
$$;
`;

/** The release migrations of the changes since the newest frozen version, by path. */
async function builtReleases(): Promise<Map<string, string>> {
  const newest = (await frozenVersions()).at(-1);
  if (!newest) return new Map();
  const byHand = await readByHand(nextFolder);
  const parts = releaseMigrations(await readFrozen(newest), await builtVersion(), byHand);
  return new Map([...parts].map(([folder, text]) => [`${nextFolder}/${folder}.sql`, text]));
}

/** Everything that is generated, by path, and the files that are there. */
async function generated(): Promise<{ built: Map<string, string>; present: string[] }> {
  const built = new Map([
    ...await builtMigrations(),
    ...await builtReleases(),
    ...await builtClient(),
  ]);
  built.set(installedTest, await builtInstalledTest());
  built.set(
    "supabase/functions/_bulwark/foundation/version.ts",
    `/** The version of Bulwark. */\nexport const version = "${await packageVersion()}";\n`,
  );
  const releases = await filesBelow(nextFolder, ".sql");
  const present = [
    ...await filesBelow(migrations, ".sql"),
    ...releases.filter((path) => !path.includes("/by_hand/")),
  ];
  return { built, present };
}

const refresh = `-- A sealer that runs already would take this migration for tampering.
select bulwark.refresh_audit_fingerprints()
where exists (
  select from bulwark_private.audit_watched_tables g
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is not null
);
`;

function textsOf(paths: string[]): Promise<string[]> {
  return Promise.all(paths.sort().map((path) => Deno.readTextFile(inRepository(path))));
}

/** Revokes everything on these objects from everybody. */
function revokes(objects: Created[]): string {
  return (["table", "sequence", "function"] as const).map((kind) => {
    const names = objects.filter((object) => object.kind === kind).map(({ name }) => name);
    if (names.length === 0) return "";
    return `revoke all on ${kind}\n  ${[...new Set(names)].join(",\n  ")}\n  from ${nobody};\n`;
  }).join("");
}

/**
 * Writes the migrations and the release migrations, and removes those that no source makes any more.
 */
export async function writeMigrations(): Promise<void> {
  const { built, present } = await generated();
  for (const path of present) {
    if (!built.has(path)) await Deno.remove(inRepository(path));
  }
  for (const [path, text] of built) {
    await Deno.mkdir(dirname(inRepository(path)), { recursive: true });
    await Deno.writeTextFile(inRepository(path), text);
  }
}

/** The migrations in the repository are those that the sources make. */
export async function migrationsAreBuilt(): Promise<TestResult> {
  const { built, present } = await generated();
  const stale = present.filter((path) => !built.has(path));
  for (const [path, text] of built) {
    const kept = await Deno.readTextFile(join(inRepository(), path)).catch(() => "");
    if (kept !== text) stale.push(path);
  }
  return stale.length === 0
    ? { passed: 1, failures: [] }
    : failed(`out of date, run npm run build: ${stale.join(", ")}`);
}
