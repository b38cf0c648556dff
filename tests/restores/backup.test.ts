/** Supabase's own backup (roles, schema, data) brings a project back as it was, in a new timeline. */
import assert from "node:assert/strict";
import { startScratchCluster } from "../../scripts/stack/scratch_cluster.ts";
import { startInstalledCluster } from "../../scripts/testing/prepared_clusters.ts";
import {
  as,
  contents,
  dumpAsCli,
  fillProject,
  protections,
  restoreAsCli,
  reversed,
} from "./backups.ts";
import { burnTransactions, debian, intact, verify } from "./support.ts";

const ways = {
  "tables in the order of the dump": [],
  "tables the other way round": [],
  "rows as inserts": ["--column-inserts", "--rows-per-insert=1000"],
};

Deno.test({
  name: "AUD-P14: a backup by the Supabase CLI is restored as it was, whatever the order of tables",
  ignore: debian === null,
  async fn(test) {
    assert.ok(debian);
    const installation = debian;
    const from = await startInstalledCluster("dumped", installation);
    try {
      const [before, guarded] = await as(from, "postgres", async (sql) => {
        await burnTransactions(sql);
        await fillProject(sql);
        return [await contents(sql), await protections(sql)];
      });
      for (const [way, flags] of Object.entries(ways)) {
        await test.step(way, async () => {
          const { roles, schema, data } = await dumpAsCli(from, flags);
          const to = await startScratchCluster("restored", installation);
          try {
            const closed = way.endsWith("inserts");
            // Hosted does so for schema public, and some projects for all that is made.
            await as(to, "postgres", async (sql) => {
              await sql`
                alter default privileges grant all on functions to anon, authenticated, service_role
              `;
            });
            await restoreAsCli(to, [
              ...[roles, schema, way.endsWith("round") ? reversed(data) : data],
              ...(closed ? ["select bulwark.close_privileges();"] : []),
            ]);
            await as(to, "postgres", async (sql) => {
              assert.deepEqual(await contents(sql), before, "nothing rewritten or told again");
              const problems = await sql<{ problem: string }[]>`
                select distinct problem from bulwark_private.restore_problems() order by 1
              `;
              assert.deepEqual(
                problems.map(({ problem }) => problem),
                [...(closed ? [] : ["privilege_open"]), "role_not_granted", "trigger_missing"],
                "what such a backup loses, or opens",
              );
              await sql`select bulwark.seal_audit_log()`;
              const [alarm] = await sql`
                select e.severity, e.details -> 'left' as left, exists (
                  select from bulwark.security_events where subject = 'restore'
                ) as raised
                from bulwark.audit_logs e where action = 'restore_mended'
              `;
              assert.deepEqual({ ...alarm }, {
                severity: closed ? "warning" : "critical",
                left: null,
                raised: !closed,
              });
              await sql`insert into bulwark.permissions values ('test:later', 'x')`;
              assert.deepEqual(await verify(sql), intact);
              assert.deepEqual(await protections(sql), guarded);
              const [later] = await sql`
                select timeline, bulwark_private.audit_seal_of(timeline, xid, id) is not null as sealed
                from bulwark.audit_logs where resource_id = 'test:later'
              `;
              assert.deepEqual({ ...later }, { timeline: 2, sealed: true });
            });
          } finally {
            await to.stop();
          }
        });
      }
    } finally {
      await from.stop();
    }
  },
});
