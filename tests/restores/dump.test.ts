/** The log outlives its cluster: dumped and restored elsewhere, it goes on in a new timeline. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { debianPostgres } from "../../scripts/stack/binaries.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { type ScratchCluster, startScratchCluster } from "../../scripts/stack/scratch_cluster.ts";
import { startInstalledCluster } from "../../scripts/testing/prepared_clusters.ts";

const debian = debianPostgres();

/** Runs a program of PostgreSQL against a cluster, as the superuser. */
async function run(
  program: string,
  source: ScratchCluster,
  database: string,
  args: string[],
): Promise<void> {
  const { success, stderr } = await new Deno.Command(join(debian?.bin ?? "", program), {
    args: [
      ...["--host=127.0.0.1", `--port=${source.cluster.port}`, "--username=supabase_admin"],
      `--dbname=${database}`,
      ...args,
    ],
    env: { PGPASSWORD: source.password },
    stdout: "null",
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

Deno.test({
  name: "AUD-P12: a dump restored into another cluster keeps what was sealed and seals the rest",
  ignore: debian === null,
  async fn() {
    assert.ok(debian);
    const [from, to] = await Promise.all([
      startInstalledCluster("dumped", debian),
      startScratchCluster("restored", debian),
    ]);
    const file = await Deno.makeTempFile();
    try {
      const before = connect(from.cluster.url("postgres", from.password));
      // The new cluster's transaction ids have to begin below those of the old one.
      await before.unsafe(
        `do $$ begin for i in 1 .. 6000 loop perform pg_current_xact_id(); commit; end loop; end $$`,
      );
      await before`insert into bulwark.permissions values ('test:sealed', 'x')`;
      await before`select bulwark.seal_audit_log()`;
      await before`insert into bulwark.permissions values ('test:unsealed', 'x')`;
      const [head] = await before`select * from bulwark.audit_tree_head()`;
      await before.end();

      await run("pg_dump", from, "postgres", ["--format=custom", `--file=${file}`]);
      const admin = connect(to.cluster.url("supabase_admin", to.password));
      await admin`create role api_key nologin noinherit`;
      await admin`create database restored owner postgres template template0`;
      await admin.end();
      await run("pg_restore", to, "restored", ["--exit-on-error", file]);

      const after = connect(to.cluster.url("postgres", to.password, "restored"));
      await after`insert into bulwark.permissions values ('test:restored', 'x')`;
      const [{ low } = {}] = await after`
        select max(xid::text::bigint) filter (where timeline = 2)
          < max(xid::text::bigint) filter (where timeline = 1) as low
        from bulwark.audit_logs
      `;
      assert.equal(low, true, "transaction ids began again");
      await after`select bulwark.seal_audit_log()`;
      await after`insert into bulwark.permissions values ('test:later', 'x')`;
      await after`select bulwark.seal_audit_log()`;

      const timelines = await after`
        select e.resource_id, e.timeline, bulwark_private.audit_seal_of(e.timeline, e.xid, e.id)::int - ${head?.tree_size}::int as seal
        from bulwark.audit_logs e
        where e.resource_type = 'bulwark.permissions' and e.resource_id like 'test:%'
        order by e.id
      `;
      assert.deepEqual(timelines.map((row) => Object.values(row)), [
        ["test:sealed", 1, 0],
        ["test:unsealed", 1, 1],
        ["test:restored", 2, 1],
        ["test:later", 2, 2],
      ]);
      const [verdict] = await after`
        select intact, complete, entries_checked::int,
          (select count(*)::int from bulwark.audit_logs) as entries
        from bulwark.verify_audit_log()
      `;
      assert.deepEqual([verdict?.intact, verdict?.complete], [true, true]);
      assert.equal(verdict?.entries_checked, verdict?.entries);
      const [recorded] = await after`
        select count(*)::int as n from bulwark.audit_logs where action = 'timeline_started'
      `;
      assert.equal(recorded?.n, 1);
      const [proof] = await after`
        select bulwark.audit_consistency_proof(${head?.tree_size}, ${head?.tree_size}) ->> 'to_root' as root
      `;
      assert.equal(proof?.root, head?.root_hash, "the old tree is a part of the new one");
      await after.end();
    } finally {
      await Deno.remove(file);
      await Promise.all([from.stop(), to.stop()]);
    }
  },
});
