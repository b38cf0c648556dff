/** An upgrade of a database that is in use. */
import assert from "node:assert/strict";
import { builtVersion } from "../../scripts/building/migrations.ts";
import { alarms } from "./project.ts";
import { installations, schemaOf } from "./schema_text.ts";
import { inDatabase, madeUpNext, startWithPresent, upgrade } from "./versions.ts";

for (const [number, installation] of Object.entries(installations)) {
  const ignore = installation === null;

  Deno.test({
    name:
      `UPG-03: on ${number}, traffic goes on, and an upgrade that cannot get a lock changes nothing`,
    ignore,
    async fn() {
      assert.ok(installation);
      const present = await builtVersion();
      const { next, byHand } = madeUpNext(present);
      const target = await startWithPresent("busy", installation);
      try {
        await inDatabase(target, "present", async (sql, database) => {
          await sql`select bulwark.seal_audit_log()`;
          const before = await schemaOf(target, installation, [sql, database]);
          // A transaction that has read the table that the upgrade alters.
          const reader = await sql.reserve();
          await reader`begin`;
          await reader`select from bulwark.settings`;
          await assert.rejects(upgrade(sql, [present, next], byHand), { code: "55P03" });
          await reader`rollback`;
          reader.release();
          assert.deepEqual(await schemaOf(target, installation, [sql, database]), before);

          // Writers and the sealer do not stop.
          let isDone = false;
          const traffic = async (statement: (turn: number) => string) => {
            for (let turn = 0; !isDone; turn++) await sql.unsafe(statement(turn));
          };
          const running = Promise.all([
            traffic((turn) => `insert into bulwark.permissions values ('busy:t${turn}', 'x')`),
            traffic(() => "select bulwark.seal_audit_log()"),
            traffic(() => "select bulwark.organizations_with('audit:read')"),
          ]);
          await upgrade(sql, [present, next], byHand).finally(() => isDone = true);
          await running;
          await sql`select bulwark.seal_audit_log()`;
          assert.deepEqual(await alarms(sql), []);
          const [verdict] = await sql`select intact, complete from bulwark.verify_audit_log()`;
          assert.deepEqual({ ...verdict }, { intact: true, complete: true });
        });
      } finally {
        await target.stop();
      }
    },
  });
}
