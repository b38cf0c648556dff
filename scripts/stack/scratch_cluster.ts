import { join } from "node:path";
import type { PostgresInstallation } from "./binaries.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { preparePlatform } from "./platform.ts";
import { makeScratchFolder } from "./scratch.ts";

/** A cluster in a temporary folder, made to look like a hosted one; `stop` deletes it. */
export interface ScratchCluster {
  cluster: Cluster;
  /** The password of all roles that log in. */
  password: string;
  stop(): Promise<void>;
}

/** Durability is for data that is worth something, compiled queries (JIT) for longer ones. */
export const forTests = {
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  jit: "off",
};

/**
 * Starts a cluster for tests or benchmarks; leaves nothing behind when that fails. Lite makes the
 * auth schema, unless `makeRealAuth` does.
 */
export async function startScratchCluster(
  purpose: string,
  installation: PostgresInstallation,
  settings: Record<string, string> = {},
  makeRealAuth?: (cluster: Cluster, password: string) => Promise<void>,
): Promise<ScratchCluster> {
  const scratch = await makeScratchFolder(purpose);
  const password = crypto.randomUUID();
  let cluster: Cluster | undefined;
  let stopping: Promise<void> | undefined;
  const stop = async () => {
    await cluster?.stop();
    await scratch.remove();
  };
  try {
    cluster = await startCluster({
      installation,
      folder: join(scratch.path, "database"),
      log: join(scratch.path, "postgres.log"),
      password,
      settings: { ...forTests, ...settings },
    });
    const prepared = cluster;
    await preparePlatform(
      cluster,
      password,
      makeRealAuth && (() => makeRealAuth(prepared, password)),
    );
    return { cluster, password, stop: () => stopping ??= stop() };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}
