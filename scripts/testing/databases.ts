import type { PostgresInstallation } from "../stack/binaries.ts";
import type { Cluster } from "../stack/cluster.ts";
import { connect } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { inRepository } from "../stack/paths.ts";
import { hosted, type Original, startCopy, startHostedCluster } from "./prepared_clusters.ts";
import { runPgtap } from "./pgtap.ts";
import { installPgtap } from "./pgtap_extension.ts";
import { push } from "./push.ts";
import { filesBelow, helpers } from "./selection.ts";

/**
 * A cluster for tests, with everything migrated in its database `postgres`. What the pgTAP files
 * share is added to the copies; with pg_cron, which works in one database only, to that one.
 */
export interface TestCluster {
  cluster: Cluster;
  password: string;
  url(role: string, database?: string): string;
  /** Makes a database, a copy of the migrated one with the pgTAP helpers; returns its name. */
  copy(): Promise<string>;
  stop(): Promise<void>;
}

/** The options of a cluster for tests. */
export interface TestClusterOptions {
  installation: PostgresInstallation;
  /**
   * Schedules jobs with pg_cron in the database `postgres`. It starts them only if it is `running`:
   * elsewhere they would change what a test has just made.
   */
  cron?: "installed" | "running";
}

/** pg_cron looks for jobs in a database without any. */
const startsNothing = { "cron.database_name": "without_jobs" };

/** Starts a cluster in a temporary folder that is migrated as a hosted one. */
export async function startTestCluster(options: TestClusterOptions): Promise<TestCluster> {
  const { installation, cron } = options;
  await installPgtap(installation);
  const original = cron ? migratedWithCron : migrated;
  const settings = cron === "installed" ? startsNothing : {};
  const { cluster, password, stop } = await startCopy(original, "test", installation, settings);
  const url = (role: string, database?: string) => cluster.url(role, password, database);
  return { cluster, password, url, stop, copy: copierWithHelpers(url) };
}

const migrated: Original = {
  name: "migrated",
  from: hosted,
  async prepare(cluster, password) {
    await addExtensions(cluster.url("supabase_admin", password), false);
    await push({ cluster, password });
  },
};

const migratedWithCron: Original = {
  name: "migrated-with-cron",
  from: hosted,
  settings: {
    shared_preload_libraries: "pg_stat_statements,pg_cron",
    "cron.use_background_workers": "on",
  },
  async prepare(cluster, password) {
    await addExtensions(cluster.url("supabase_admin", password), true);
    await push({ cluster, password });
    await moveIn(cluster.url("postgres", password));
  },
};

/** A cluster whose databases have the platform and pgTAP, and no more of Bulwark than was asked for. */
export interface UnmigratedCluster {
  url(role: string, database?: string): string;
  /** Runs a task on a database of its own. */
  withDatabase<T>(task: (database: string) => Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

/**
 * Starts a cluster in a temporary folder and prepares it as a hosted one. All databases begin with
 * what `begin` does as `postgres`.
 */
export async function startUnmigratedCluster(
  installation: PostgresInstallation,
  begin: (url: string) => Promise<void> = () => Promise.resolve(),
): Promise<UnmigratedCluster> {
  await installPgtap(installation);
  const { cluster, password, stop } = await startHostedCluster("subsets", installation);
  const url = (role: string, database?: string) => cluster.url(role, password, database);
  try {
    await addExtensions(url("supabase_admin"), false);
    await begin(url("postgres"));
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  const copy = copier(url, () => Promise.resolve("postgres"));
  return {
    url,
    stop,
    async withDatabase(task) {
      const database = await copy();
      try {
        return await task(database);
      } finally {
        await asAdmin(url, `drop database ${database} with (force)`);
      }
    },
  };
}

/** Creates extensions that the hosted platform lets `postgres` create, as superuser. */
async function addExtensions(adminUrl: string, cron: boolean): Promise<void> {
  const admin = connect(adminUrl);
  try {
    await admin`create extension pgtap with schema extensions`;
    if (!cron) return;
    await admin`create extension pg_cron with schema pg_catalog`;
    await admin`create database without_jobs`;
    await admin`grant usage on schema cron to postgres with grant option`;
    await admin`grant all on all tables in schema cron to postgres with grant option`;
  } finally {
    await admin.end();
  }
}

/** Copies the migrated database with the helpers, which it makes with the first copy. */
function copierWithHelpers(url: TestCluster["url"]): TestCluster["copy"] {
  return copier(url, async (copyTo) => {
    await copyTo("with_helpers", "postgres");
    await moveIn(url("postgres", "with_helpers"));
    return "with_helpers";
  });
}

type Copy = (database: string, original: string) => Promise<void>;

/** Copies a database; `makeOriginal` names it, before the first copy. */
function copier(
  url: TestCluster["url"],
  makeOriginal: (copyTo: Copy) => Promise<string>,
): () => Promise<string> {
  let number = 0;
  // One at a time: while a database is copied, nobody else may be connected to the original.
  let copying: Promise<unknown> = Promise.resolve();
  const copyTo: Copy = (database, original) =>
    asAdmin(
      url,
      `create database ${database} template ${original} strategy file_copy owner postgres`,
    );
  let original: Promise<string> | undefined;
  return async () => {
    const database = `copy_${++number}`;
    const copy = copying.then(() => original ??= makeOriginal(copyTo))
      .then((name) => copyTo(database, name));
    copying = copy.catch(() => {});
    await copy;
    return database;
  };
}

async function asAdmin(url: TestCluster["url"], statement: string): Promise<void> {
  const admin = connect(url("supabase_admin", "template1"));
  try {
    await admin.unsafe(statement);
  } finally {
    await admin.end();
  }
}

/**
 * Runs the pgTAP files that commit the shared helpers, and then makes the database that of a project
 * in use: its pgTAP files must not assume that they are alone.
 */
async function moveIn(url: string): Promise<void> {
  for (const path of await filesBelow(helpers, ".test.sql")) {
    const { failures } = await runPgtap(path, url);
    if (failures.length > 0) throw new Failure("HELPERS_FAILED", failures.join("\n"));
  }
  const sql = connect(url);
  try {
    await sql.unsafe(await Deno.readTextFile(inRepository("scripts", "testing", "lived_in.sql")))
      .simple();
  } finally {
    await sql.end();
  }
}
