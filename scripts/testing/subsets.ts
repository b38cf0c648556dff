import { capabilities, closure, start } from "../building/capabilities.ts";
import { installedTest } from "../building/installed.ts";
import { builtMigrations } from "../building/migrations.ts";
import { debianPostgres, embeddedPostgres, type PostgresInstallation } from "../stack/binaries.ts";
import { connect, type Sql } from "../stack/connection.ts";
import { startUnmigratedCluster, type UnmigratedCluster } from "./databases.ts";
import { missingFromDebian } from "./clusters.ts";
import { runPgtap } from "./pgtap.ts";
import type { TestResult, TestTask } from "./result.ts";
import { filesBelow, helpers } from "./selection.ts";

/** The subsets that an installer offers: the core, and each capability with what it needs. */
const offered = [
  [],
  ...capabilities.filter(({ core }) => !core).map(({ name }) => [name]),
];

/** The first capabilities: those of every subset, in the order of installation. */
const beginning = capabilities.slice(0, capabilities.findIndex(({ core }) => !core));

/** The clusters that subsets are installed on, each started when first asked for. */
export interface SubsetClusters {
  on(installation: PostgresInstallation): Promise<UnmigratedCluster>;
  stop(): Promise<void>;
}

/** Prepares clusters that start on demand and stop together. */
export function subsetClusters(): SubsetClusters {
  const started = new Map<number, Promise<UnmigratedCluster>>();
  return {
    on(installation) {
      const cluster = started.get(installation.major) ??
        startUnmigratedCluster(installation, begin);
      started.set(installation.major, cluster);
      return cluster;
    },
    async stop() {
      for (const result of await Promise.allSettled(started.values())) {
        if (result.status === "fulfilled") await result.value.stop();
      }
    },
  };
}

/**
 * A task for each subset and each Postgres: installs it as `postgres` and runs pgTAP there. With
 * `thorough` these are all files of its capabilities, else the conventions.
 */
export function subsetTasks(clusters: SubsetClusters, thorough: boolean): TestTask[] {
  const missing = missingFromDebian();
  const debian = debianPostgres();
  return [embeddedPostgres(), ...debian && !missing ? [debian] : []].flatMap((installation) =>
    offered.map((names): TestTask => ({
      kind: `subset ${installation.major}`,
      name: names.join(" ") || "core",
      run: async () => {
        const cluster = await clusters.on(installation);
        return await cluster.withDatabase(async (database) => {
          const url = cluster.url("postgres", database);
          await applyAll([...closure(names).slice(beginning.length), start], url);
          return await testSubset(names, url, thorough);
        });
      },
    }))
  );
}

/** Applies the migrations of a subset as the installer does. */
export function install(names: readonly string[], url: string): Promise<void> {
  return applyAll([...closure(names), start], url);
}

/** Applies the migrations of the beginning, once for all databases that go on from there. */
function begin(url: string): Promise<void> {
  return applyAll(beginning, url);
}

async function applyAll(migrations: readonly { name: string }[], url: string): Promise<void> {
  const sql = connect(url);
  try {
    for (const { name } of migrations) await applyMigration(name, sql);
  } finally {
    await sql.end();
  }
}

let built: ReturnType<typeof builtMigrations> | undefined;

/** Applies the migration of a capability or of the start, in a transaction of its own. */
export async function applyMigration(name: string, sql: Sql): Promise<void> {
  const [, text] =
    [...await (built ??= builtMigrations())].find(([path]) =>
      path.endsWith(`_bulwark_${name}.sql`)
    ) ?? [];
  if (text === undefined) throw new Error(`there is no migration of ${name}`);
  await sql.unsafe(text).simple();
}

async function testSubset(
  names: readonly string[],
  url: string,
  thorough: boolean,
): Promise<TestResult> {
  const nouns = closure(names).map(({ name }) => name);
  const isHelper = (path: string) => path.startsWith(helpers);
  const isOf = (path: string) => {
    if (path === installedTest) return true;
    const [, , noun = "", file = ""] = path.split("/");
    return nouns.includes(isHelper(path) ? /[a-z]\w*/.exec(file)?.[0] ?? "" : noun);
  };
  const result: TestResult = { passed: 0, failures: [] };
  const paths = (await filesBelow("supabase/tests", ".test.sql")).filter(isOf);
  for (const path of paths) {
    const isBrief = path === installedTest || path.includes("/conventions");
    if (!isHelper(path) && !thorough && !isBrief) continue;
    const { passed, failures } = await runPgtap(path, url);
    result.passed += passed;
    result.failures.push(...failures.map((failure) => `${path}: ${failure}`));
  }
  return result;
}
