/** Without pg_stat_statements top_queries() returns no rows. */
import assert from "node:assert/strict";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { startInstalledCluster } from "../../scripts/testing/prepared_clusters.ts";

Deno.test("MET-E11: without pg_stat_statements, or with it not preloaded, there are no top queries and no error", async () => {
  const { cluster, password, stop } = await startInstalledCluster("preload", embeddedPostgres(), {
    shared_preload_libraries: "",
  });
  const admin = connect(cluster.url("supabase_admin", password));
  const postgres = connect(cluster.url("postgres", password));
  try {
    await assert.rejects(admin`select from extensions.pg_stat_statements`, { code: "55000" });
    assert.equal((await postgres`select * from bulwark.top_queries()`).length, 0);
    await admin`drop extension pg_stat_statements`;
    assert.equal((await postgres`select * from bulwark.top_queries()`).length, 0);
  } finally {
    await Promise.all([admin.end(), postgres.end()]);
    await stop();
  }
});
