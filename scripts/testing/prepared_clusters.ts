/**
 * Clusters that begin as copies of one that the test run has made once. Tests that restore into
 * another cluster need a new one (startScratchCluster): copies share their system identifier.
 */
import { join } from "node:path";
import type { PostgresInstallation } from "../stack/binaries.ts";
import { type Cluster, startCluster } from "../stack/cluster.ts";
import { preparePlatform } from "../stack/platform.ts";
import { makeScratchFolder } from "../stack/scratch.ts";
import { forTests, type ScratchCluster } from "../stack/scratch_cluster.ts";
import { copyFolder } from "./copy_folder.ts";
import { madeOnce } from "./once.ts";
import { push } from "./push.ts";

type Settings = Record<string, string>;

/** A cluster to be copied, one for each Postgres. */
export interface Original {
  name: string;
  /** It begins as a copy of another. */
  from?: Original;
  /** Server settings on top of those for tests, also of the copies. */
  settings?: Settings;
  prepare(cluster: Cluster, password: string): Promise<void>;
}

/** Settings of what is copied: its write-ahead log keeps no spare files, and the last has holes. */
export const littleToCopy = { wal_recycle: "off", wal_init_zero: "off" };

/** A hosted project before anything is pushed. */
export const hosted: Original = { name: "hosted", prepare: preparePlatform };

/** A hosted project with all of Bulwark's migrations. */
export const installed: Original = {
  name: "installed",
  from: hosted,
  prepare: (cluster, password) => push({ cluster, password }),
};

/** Starts a hosted project in a temporary folder, which `stop` deletes. */
export function startHostedCluster(
  purpose: string,
  installation: PostgresInstallation,
  settings?: Settings,
): Promise<ScratchCluster> {
  return startCopy(hosted, purpose, installation, settings);
}

/** The same with all of Bulwark's migrations. */
export function startInstalledCluster(
  purpose: string,
  installation: PostgresInstallation,
  settings?: Settings,
): Promise<ScratchCluster> {
  return startCopy(installed, purpose, installation, settings);
}

/** Starts a copy of a cluster in a temporary folder, which `stop` deletes. */
export async function startCopy(
  original: Original,
  purpose: string,
  installation: PostgresInstallation,
  settings: Settings = {},
): Promise<ScratchCluster> {
  const scratch = await makeScratchFolder(purpose);
  let cluster: Cluster | undefined;
  let stopping: Promise<void> | undefined;
  const stop = async () => {
    await cluster?.stop();
    await scratch.remove();
  };
  try {
    const folder = join(scratch.path, "database");
    const password = await copyOriginal(original, installation, scratch.path, folder);
    cluster = await startCluster({
      installation,
      folder,
      log: join(scratch.path, "postgres.log"),
      password,
      settings: { ...forTests, ...original.settings, ...settings },
    });
    return { cluster, password, stop: () => stopping ??= stop() };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** Copies an original, and returns the password of its roles that log in. */
async function copyOriginal(
  original: Original,
  installation: PostgresInstallation,
  scratch: string,
  to: string,
): Promise<string> {
  const { name, from, settings, prepare } = original;
  const made = await madeOnce(`${name}-${installation.major}`, scratch, async (draft) => {
    const folder = join(draft, "database");
    const password = from
      ? await copyOriginal(from, installation, scratch, folder)
      : crypto.randomUUID();
    const cluster = await startCluster({
      installation,
      folder,
      log: join(draft, "postgres.log"),
      password,
      settings: { ...forTests, ...littleToCopy, ...settings },
    });
    try {
      await prepare(cluster, password);
    } finally {
      await cluster.stop();
    }
    await Deno.writeTextFile(join(draft, "password"), password, { mode: 0o600 });
  });
  await copyFolder(join(made, "database"), to);
  return await Deno.readTextFile(join(made, "password"));
}
