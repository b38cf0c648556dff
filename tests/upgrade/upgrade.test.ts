/** Upgrades: a database that was upgraded is one that was installed, with everything it held. */
import assert from "node:assert/strict";
import { builtVersion } from "../../scripts/building/migrations.ts";
import {
  type ByHand,
  frozenVersions,
  nextFolder,
  readByHand,
  readFrozen,
  type Version,
} from "../../scripts/building/releases.ts";
import { startScratchCluster } from "../../scripts/stack/scratch_cluster.ts";
import { alarms, assertHolds, fill, lastingContents } from "./project.ts";
import { installations, schemaOf } from "./schema_text.ts";
import { install, madeUpNext, upgrade, withDatabase } from "./versions.ts";

for (const [number, installation] of Object.entries(installations)) {
  const ignore = installation === null;

  Deno.test({
    name:
      `UPG-02: on ${number}, an upgrade leaves what an installation makes, and everything as it was`,
    ignore,
    async fn(test) {
      assert.ok(installation);
      const present = await builtVersion();
      const { next, byHand } = madeUpNext(present);
      const cases: [string, Version, Version, Map<string, ByHand>][] = [
        ["made_up", present, next, byHand],
      ];
      const newest = (await frozenVersions()).at(-1);
      if (newest) {
        cases.push([
          "frozen",
          await readFrozen(newest),
          present,
          await readByHand(nextFolder),
        ]);
      }
      const target = await startScratchCluster("upgraded", installation);
      try {
        for (const [name, before, after, written] of cases) {
          await test.step(name, async () => {
            const fresh = await withDatabase(target, `${name}_fresh`, async (sql, database) => {
              await install(sql, after);
              return await schemaOf(target, installation, [sql, database]);
            });
            await withDatabase(target, `${name}_bare`, async (sql, database) => {
              await install(sql, before);
              await upgrade(sql, [before, after], written);
              assert.deepEqual(await schemaOf(target, installation, [sql, database]), fresh);
              const [version] = await sql`select bulwark.version() as version`;
              assert.equal(version?.version, "9.9.9");
            });
            await withDatabase(target, `${name}_filled`, async (sql) => {
              await install(sql, before);
              const project = await fill(sql);
              await assertHolds(sql, project);
              const kept = await lastingContents(sql);
              await upgrade(sql, [before, after], written);
              assert.deepEqual(await lastingContents(sql), kept, "no row is another");
              await assertHolds(sql, project);
              assert.deepEqual(await alarms(sql), [], "the sealer takes it for no attack");
            });
          });
        }
      } finally {
        await target.stop();
      }
    },
  });
}
