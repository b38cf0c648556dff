import { embeddedPostgres } from "../stack/binaries.ts";
import { connect, type Sql } from "../stack/connection.ts";
import { migrate } from "../stack/migrate.ts";
import { startScratchCluster } from "../stack/scratch_cluster.ts";
import type { Bench, BenchContext } from "./harness.ts";

/** Sized for a development machine. Durability is off: nothing here measures the disk. */
const settings = {
  autovacuum: "off",
  shared_buffers: "1GB",
  effective_cache_size: "3GB",
  maintenance_work_mem: "256MB",
  max_wal_size: "4GB",
};

/** A migrated database for one benchmark, thrown away by `stop`. */
export async function benchDatabase(
  definition: Bench,
  options: BenchContext["options"],
): Promise<{ context: BenchContext; stop(): Promise<void> }> {
  const installation = definition.installation?.() ?? embeddedPostgres();
  const { cluster, password, stop: stopCluster } = await startScratchCluster(
    "bench",
    installation,
    { ...settings, ...definition.settings },
  );
  const pools: Sql[] = [];
  const stops: (() => Promise<unknown>)[] = [];
  const open: BenchContext["connect"] = (role, options) => {
    const pool = connect(cluster.url(role, password), options);
    pools.push(pool);
    return pool;
  };
  const stop = async () => {
    await Promise.all(pools.map((pool) => pool.end({ timeout: 1 })));
    for (const end of stops.splice(0).reverse()) await end();
    await stopCluster();
  };
  try {
    await migrate({ cluster, password });
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  const context: BenchContext = {
    postgres: open("postgres"),
    admin: open("supabase_admin"),
    connect: open,
    url: (role) => cluster.url(role, password),
    installation,
    password,
    options,
    async asUser(userId, claims = {}) {
      const connection = await open("authenticator").reserve();
      const sessionId = userId;
      await context.postgres`
        insert into auth.sessions (id, user_id, aal) values (${sessionId}, ${userId}, 'aal1')
        on conflict do nothing
      `;
      const all = JSON.stringify({
        sub: userId,
        session_id: sessionId,
        role: "authenticated",
        ...claims,
      });
      await connection`select set_config('request.jwt.claims', ${all}, false)`;
      // Without the role's timeout: a slow peer is to be measured, not cancelled.
      await connection`set statement_timeout = 0`;
      await connection`set role authenticated`;
      return connection;
    },
    onStop: (end) => void stops.push(end),
    log: (message) => console.error(message),
  };
  return { context, stop };
}
