/** The claims of an upgrade from one version to another. */
import assert from "node:assert/strict";
import type { ByHand, Version } from "../../scripts/building/releases.ts";
import type { PostgresInstallation } from "../../scripts/stack/binaries.ts";
import type { Sql } from "../../scripts/stack/connection.ts";
import { alarms, assertHolds, columnsOf, entries, fill, lastingContents } from "./project.ts";
import { schemaOf } from "./schema_text.ts";
import { inDatabase, install, startWithPresent, upgrade, withDatabase } from "./versions.ts";

/** Versions to upgrade between. One of them is the present one, which is installed already. */
export interface Upgrade {
  before: Version;
  after: Version;
  present: "before" | "after";
  byHand: Map<string, ByHand>;
}

/**
 * Upgrades an empty and a filled database: the schema is that of a new installation, and every row,
 * proof, key and ciphertext is as before.
 */
export async function assertUpgrades(
  installation: PostgresInstallation,
  { before, after, present, byHand }: Upgrade,
): Promise<void> {
  const target = await startWithPresent("upgraded", installation);
  let rules: Record<string, unknown>[] = [];
  try {
    if (present === "before") await withDatabase(target, "fresh", (sql) => install(sql, after));
    else await withDatabase(target, "filled", (sql) => install(sql, before));
    const [old, now] = present === "before" ? ["present", "fresh"] : ["filled", "present"];
    const fresh = await inDatabase(target, now, async (sql, database) => {
      rules = await settingRules(sql);
      return await schemaOf(target, installation, [sql, database]);
    });
    await withDatabase(target, "bare", async (sql, database) => {
      await upgrade(sql, [before, after], byHand);
      assert.deepEqual(await schemaOf(target, installation, [sql, database]), fresh);
      const [version] = await sql`select bulwark.version() as version`;
      assert.equal(version?.version, "9.9.9");
      assert.deepEqual(await settingRules(sql), rules, "the same settings may be changed");
    }, old);
    await inDatabase(target, old, async (sql) => {
      const project = await fill(sql);
      await assertHolds(sql, project);
      // Columns and tables that the upgrade adds are not compared.
      const columns = await columnsOf(sql);
      const kept = await lastingContents(sql, columns);
      const written = await entries(sql);
      await upgrade(sql, [before, after], byHand);
      const found = await lastingContents(sql, columns);
      const present = Object.fromEntries(Object.keys(kept).map((name) => [name, found[name]]));
      assert.deepEqual(present, kept, "no row is another");
      assert.deepEqual(await entries(sql, written[0]), written, "no entry either");
      await assertHolds(sql, project);
      assert.deepEqual(await alarms(sql), [], "the sealer takes it for no attack");
    });
  } finally {
    await target.stop();
  }
}

/** The settings that administrators may change: rows that migrations alone write. */
async function settingRules(sql: Sql): Promise<Record<string, unknown>[]> {
  return [...await sql`select name, accepts from bulwark_private.setting_rules order by name`];
}
