/** The newest frozen version, upgraded to the present sources by the release migrations. */
import assert from "node:assert/strict";
import { builtVersion } from "../../scripts/building/migrations.ts";
import {
  frozenVersions,
  nextFolder,
  readByHand,
  readFrozen,
  releasesFolder,
} from "../../scripts/building/releases.ts";
import { installations } from "./schema_text.ts";
import { startHostedCluster } from "../../scripts/testing/prepared_clusters.ts";
import { assertUpgrades } from "./upgrading.ts";
import { install, upgrade, withDatabase } from "./versions.ts";

const frozen = await frozenVersions();
const newest = frozen.at(-1);

Deno.test("UPG-07: every frozen version has the migrations of the core", async () => {
  for (const version of frozen) {
    const folders = [...(await readFrozen(version)).keys()];
    assert.ok(["00_foundation", "01_rbac", "02_audit"].every((name) => folders.includes(name)));
  }
});

Deno.test({
  name:
    "UPG-09: a log whose end was proved before the upgrade is read by it once, for its new index",
  async fn() {
    const versions = [await readFrozen("0.1.0-alpha.1"), await readFrozen("0.1.0")] as const;
    const target = await startHostedCluster("bound", installations[17]);
    try {
      await withDatabase(target, "bound", async (sql) => {
        await install(sql, versions[0]);
        const [floor] = await sql`
          select bulwark_private.audit_id_floor(date_trunc('month', now(), 'UTC') + '100 days') as id
        `;
        await sql.unsafe(`alter table bulwark.audit_logs add constraint audit_logs_bound
          check (id < '${floor!.id}')`);
        const read = async () => {
          await sql`select pg_stat_force_next_flush()`;
          const [row] = await sql`select coalesce(sum(seq_tup_read), 0)::integer as rows
            from pg_stat_all_tables where relname ~ '^audit_logs'`;
          return row!.rows as number;
        };
        const before = await read();
        await upgrade(sql, [...versions], await readByHand(`${releasesFolder}/0.1.0`));
        const rows = await read() - before;
        const [entries] = await sql`select count(*)::integer as n from bulwark.audit_logs`;
        assert.ok(rows > 0 && rows <= entries!.n, `${rows} rows read of ${entries!.n}`);
        const [first] = await sql`
          select p.low, p.high, (select count(*) from pg_constraint k
            where k.conrelid = p.relation and k.contype = 'c')::integer as constraints
          from bulwark_private.audit_partitions p where not is_default order by low limit 1
        `;
        assert.deepEqual({ ...first }, {
          low: "00000000-0000-0000-0000-000000000000",
          high: floor!.id,
          constraints: 0,
        });
      });
    } finally {
      await target.stop();
    }
  },
});

// Before the first version is frozen there is nothing to upgrade.
for (const [number, installation] of newest ? Object.entries(installations) : []) {
  Deno.test({
    name: `UPG-06: on ${number}, the newest frozen version becomes the present one`,
    ignore: installation === null,
    async fn() {
      assert.ok(installation && newest);
      await assertUpgrades(installation, {
        before: await readFrozen(newest),
        after: await builtVersion(),
        present: "after",
        byHand: await readByHand(nextFolder),
      });
    },
  });
}
