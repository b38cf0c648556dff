/** Installing and upgrading versions of Bulwark, as `postgres`, a transaction for each migration. */
import assert from "node:assert/strict";
import { builtVersion } from "../../scripts/building/migrations.ts";
import type { PostgresInstallation } from "../../scripts/stack/binaries.ts";
import { connect, type Sql } from "../../scripts/stack/connection.ts";
import type { ScratchCluster } from "../../scripts/stack/scratch_cluster.ts";
import { type ByHand, releaseMigrations, type Version } from "../../scripts/building/releases.ts";
import { hosted, type Original, startCopy } from "../../scripts/testing/prepared_clusters.ts";
import { upgradeText } from "../../scripts/building/upgrade_text.ts";

/** Installs a version into the database `postgres` of a cluster, or another. */
export async function install(sql: Sql, version: Version): Promise<void> {
  for (const [, text] of [...version].sort()) await sql.unsafe(text);
}

/**
 * Upgrades a database from one version to another, by what is derived and what is by hand, and adds
 * the capabilities that are new, as `bulwark add` does.
 */
export async function upgrade(
  sql: Sql,
  [before, after]: readonly [Version, Version],
  byHand: Map<string, ByHand> = new Map(),
): Promise<void> {
  const parts = releaseMigrations(before, after, byHand);
  await sql.unsafe(upgradeText("9.9.9", [...parts.values()]));
  const known = [...before.keys()].map(nounOf);
  const added = [...after].sort().filter(([folder]) => !known.includes(nounOf(folder)));
  const start = [...after].filter(([folder]) => nounOf(folder) === "start");
  for (const [, text] of added.length > 0 ? [...added, ...start] : []) await sql.unsafe(text);
}

const nounOf = (folder: string) => folder.replace(/^\d+_/, "");

/** Where a database is. */
type Target = Pick<ScratchCluster, "cluster" | "password">;

/**
 * A cluster where the database `present` has the present version, with a log that begins in this
 * cluster, and `postgres` has only what the platform makes.
 */
export function startWithPresent(
  purpose: string,
  installation: PostgresInstallation,
): Promise<ScratchCluster> {
  return startCopy(withPresent, purpose, installation);
}

const withPresent: Original = {
  name: "present",
  from: hosted,
  async prepare(cluster, password) {
    const version = await builtVersion();
    await withDatabase({ cluster, password }, "present", (sql) => install(sql, version));
  },
};

/** A new database in a cluster, by default with the platform's schemas alone. */
export async function withDatabase<T>(
  target: Target,
  name: string,
  task: (sql: Sql, name: string) => Promise<T>,
  template = "postgres",
): Promise<T> {
  const admin = connect(target.cluster.url("supabase_admin", target.password, "template1"));
  await admin.unsafe(
    `create database ${name} template ${template} strategy file_copy owner postgres`,
  );
  await admin.end();
  return await inDatabase(target, name, task);
}

/** A database that is there. */
export async function inDatabase<T>(
  target: Target,
  name: string,
  task: (sql: Sql, name: string) => Promise<T>,
): Promise<T> {
  const sql = connect(target.cluster.url("postgres", target.password, name), { max: 5 });
  try {
    return await task(sql, name);
  } finally {
    await sql.end();
  }
}

/**
 * A version after the present one that nobody has released: another body, a new function with its
 * rights, a column, a policy, a trigger that is always enabled, and other row functions.
 */
export function madeUpNext(version: Version): { next: Version; byHand: Map<string, ByHand> } {
  const next = new Map(version);
  const change = (folder: string, from: string | RegExp, to: string) => {
    const text = next.get(folder)!;
    const changed = text.replace(from, () => to);
    assert.notEqual(changed, text, `${folder} has ${from}`);
    next.set(folder, changed);
  };
  change(
    "00_foundation",
    "  description text not null\n);\ncomment on table bulwark.settings",
    "  description text not null,\n  made_up boolean not null default true\n);\n" +
      "comment on table bulwark.settings",
  );
  const settings = "create trigger settings_made_up before update on bulwark.settings\n" +
    "  for each row execute function bulwark.keep_columns('name');\n" +
    "alter table bulwark.settings enable always trigger settings_made_up;\n";
  change(
    "00_foundation",
    "grant usage on schema bulwark to",
    `${settings}grant usage on schema bulwark to`,
  );
  const made = "create function bulwark.made_up(words text default 'x')\n  returns text\n" +
    "  language sql\n  stable\n  set search_path = pg_catalog, pg_temp\nas $$ select words; $$;\n" +
    "comment on function bulwark.made_up(text) is 'Made up.';\n" +
    "revoke all on function bulwark.made_up(text) from public, anon, authenticated, service_role;\n" +
    "grant execute on function bulwark.made_up(text) to authenticated;\n";
  change(
    "01_rbac",
    "insert into bulwark_private.capabilities",
    `${made}insert into bulwark_private.capabilities`,
  );
  change(
    "02_audit",
    'create policy "Anyone signed in reads the catalogue of event types"',
    'create policy "Anyone signed in reads the catalogue"',
  );
  change("02_audit", "    E'begin\\n  begin\\n',", "    E'begin\\n  -- Made up.\\n  begin\\n',");
  const column = "alter table bulwark.settings add column made_up boolean not null default true;\n";
  return { next, byHand: new Map([["00_foundation", { before: column, after: undefined }]]) };
}
