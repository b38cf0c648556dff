/** A crash of Postgres refills buckets and keeps blocks. */
import assert from "node:assert/strict";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { startCluster } from "../../scripts/stack/cluster.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { migrate } from "../../scripts/stack/migrate.ts";
import { preparePlatform } from "../../scripts/stack/platform.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";

Deno.test("RATE-C01: after a crash buckets are full, and who was blocked still is", async () => {
  const scratch = await makeScratchFolder("crash");
  const password = crypto.randomUUID();
  const options = {
    installation: embeddedPostgres(),
    folder: `${scratch.path}/database`,
    log: `${scratch.path}/postgres.log`,
    password,
  };
  let cluster = await startCluster(options);
  try {
    await preparePlatform(cluster, password);
    await migrate({ cluster, password });
    const sql = connect(cluster.url("postgres", password));
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

    const pid = (await Deno.readTextFile(`${options.folder}/postmaster.pid`)).split("\n")[0];
    Deno.kill(Number(pid), "SIGKILL");
    await sql.end({ timeout: 0 }).catch(() => {});
    await cluster.stop();
    // Backends exit when they notice that the postmaster is gone.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    cluster = await startCluster(options);

    const again = connect(cluster.url("postgres", password));
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
    await cluster.stop();
    await scratch.remove();
  }
});
