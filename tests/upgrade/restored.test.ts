/** A database that was dumped and restored has the schema of the one that it came from. */
import assert from "node:assert/strict";
import { connect } from "../../scripts/stack/connection.ts";
import { debian, makeDatabase, run } from "../restores/support.ts";
import { fill } from "./project.ts";
import { dumpedSchema, schemaLines } from "./schema_text.ts";
import { inDatabase, startWithPresent } from "./versions.ts";

Deno.test({
  name: "UPG-05: a dump, restored, has the same schema, also after its first seal",
  ignore: debian === null,
  async fn() {
    assert.ok(debian);
    const target = await startWithPresent("restored", debian);
    const file = await Deno.makeTempFile();
    try {
      const before = await inDatabase(target, "present", async (sql, name) => {
        await fill(sql);
        await run(target, name, { name: "pg_dump", args: ["--format=custom", `--file=${file}`] });
        return [...await schemaLines(sql), ...await dumpedSchema(target, name)];
      });
      await makeDatabase(target, "copy");
      await run(target, "copy", { name: "pg_restore", args: ["--exit-on-error", file] });
      const sql = connect(target.cluster.url("postgres", target.password, "copy"));
      try {
        const schema =
          async () => [...await schemaLines(sql), ...await dumpedSchema(target, "copy")];
        assert.deepEqual(await schema(), before);
        await sql`select bulwark.seal_audit_log()`;
        await sql`insert into public.contacts (id, organization_id) select 9, organization_id
          from public.contacts limit 1`;
        assert.deepEqual(await schema(), before, "after the first seal");
        const [entry] = await sql`
          select timeline, organization_id is not null as is_known from bulwark.audit_logs
          where resource_type = 'public.contacts' and resource_id = '9'
        `;
        assert.deepEqual({ ...entry }, { timeline: 2, is_known: true });
        const [status] = await sql`select bulwark.audit_status() -> 'settled' as settled`;
        assert.equal(status?.settled, true);
      } finally {
        await sql.end();
      }
    } finally {
      await Deno.remove(file);
      await target.stop();
    }
  },
});
