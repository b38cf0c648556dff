/** A crash of Postgres refills buckets and keeps blocks. */
import assert from "node:assert/strict";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { type Cluster, startCluster } from "../../scripts/stack/cluster.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { startInstalledCluster } from "../../scripts/testing/prepared_clusters.ts";

Deno.test("RATE-C01: after a crash buckets are full, and who was blocked still is", async () => {
  const installation = embeddedPostgres();
  const { cluster, password, stop } = await startInstalledCluster("crash", installation, {
    // A block that was answered must survive.
    synchronous_commit: "on",
  });
  let restarted: Cluster | undefined;
  try {
    const sql = connect(cluster.url("postgres", password));
    const admin = connect(cluster.url("supabase_admin", password));
    const [{ folder } = { folder: "" }] = await admin<{ folder: string }[]>`
      select current_setting('data_directory') as folder
    `;
    await admin.end();
    const user = crypto.randomUUID();
    await sql`select count(*) from generate_series(1, 3) n,
      lateral bulwark.check_rate_limit('api_strict', case when n > 0 then ${user}::uuid end)`;
    // Refused until blocked; the last answer says so.
    let reason: string | null = null;
    for (let call = 0; call < 40 && reason !== "block"; call++) {
      const [row] = await sql`
        select reason from bulwark.check_rate_limit('api_strict', address => '203.0.113.1')
      `;
      reason = row?.reason ?? null;
    }
    assert.equal(reason, "block");
    const [before] =
      await sql`select count(*)::integer as buckets from bulwark_private.rate_limits`;
    assert.ok(before && before.buckets > 0);

    const pid = (await Deno.readTextFile(`${folder}/postmaster.pid`)).split("\n")[0];
    Deno.kill(Number(pid), "SIGKILL");
    await sql.end({ timeout: 0 }).catch(() => {});
    await cluster.stop();
    // Backends exit when they notice that the postmaster is gone.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    restarted = await startCluster({ installation, folder, log: `${folder}.log`, password });

    const again = connect(restarted.url("postgres", password));
    const [after] =
      await again`select count(*)::integer as buckets from bulwark_private.rate_limits`;
    assert.equal(after?.buckets, 0, "buckets are unlogged");
    const [blocked] = await again`
      select reason from bulwark.check_rate_limit('api_relaxed', address => '203.0.113.1')
    `;
    assert.equal(blocked?.reason, "block");
    const [kept] = await again`
      select
        (select count(*)::integer from bulwark.rate_limit_blocks) as blocks,
        (select count(*)::integer from bulwark_private.rate_limit_violations) as violations
    `;
    assert.deepEqual({ ...kept }, { blocks: 1, violations: 2 });
    await again.end();
  } finally {
    await restarted?.stop();
    await stop();
  }
});
