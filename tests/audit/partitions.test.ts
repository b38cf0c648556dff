/** Partitions of the log are made and closed while others write. */
import assert from "node:assert/strict";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { startTestCluster } from "../../scripts/testing/databases.ts";

Deno.test("AUM-30: the job stops no writer, and a month is closed between two transactions", async () => {
  const cluster = await startTestCluster({ installation: embeddedPostgres() });
  const sql = connect(cluster.url("postgres"), { max: 1 });
  const writers = connect(cluster.url("postgres"), { max: 2 });
  try {
    const open = await writers.reserve();
    await open.unsafe(`begin; insert into bulwark.permissions values ('open:t', 'x')`);

    // Months ahead are made while the transaction is open, and others write meanwhile.
    await sql`begin`;
    const made = await sql`select bulwark_private.make_audit_partitions(9)`;
    assert.equal(made.length, 6);
    await writers`set lock_timeout = '5s'`;
    await writers.unsafe("insert into bulwark.permissions values ('meanwhile:t', 'x')");
    await sql`commit`;

    // Closing waits for the writer, and gives up.
    const [month] = await sql`
      select p.relation::text as name, p.high from bulwark_private.audit_partitions p
      where not p.is_default order by p.low limit 1
    `;
    await sql`set lock_timeout = '100ms'`;
    const close = () =>
      sql.begin(async (own) => {
        await own`select bulwark_private.close_audit_partition(${month!.name}::regclass)`;
        await own`insert into bulwark_private.audit_closings (below, timeline) values (${
          month!.high
        }, 1)`;
      });
    await assert.rejects(close(), { code: "55P03" });
    await open.unsafe("commit");
    open.release();
    await close();

    // The closing is older than a seal, so the sealer reads no closed partition of its own accord.
    await sql`select bulwark.seal_audit_log()`;
    await sql.unsafe("insert into bulwark.permissions values ('late:t', 'x')");
    const late = async () => {
      const [row] =
        await sql`select count(*)::integer as n from bulwark_private.audit_late_entries`;
      return row!.n as number;
    };
    assert.notEqual(await late(), 0, "entries of a closed month are noted");
    while ((await sql`select bulwark.seal_audit_log() as n`)[0]!.n !== null);
    const [verdict] = await sql`select intact, complete, problem from bulwark.verify_audit_log()`;
    assert.deepEqual({ ...verdict }, { intact: true, complete: true, problem: null });
    const [unsealed] = await sql`
      select count(*)::integer as n from bulwark.audit_logs l
      where bulwark_private.audit_seal_of(l.timeline, l.xid, l.id) is null
        or not bulwark_private.audit_entry_is_sealed(l.id)
    `;
    assert.equal(unsealed!.n, 0, "and sealed like every other");
  } finally {
    await Promise.all([sql.end(), writers.end()]);
    await cluster.stop();
  }
});
