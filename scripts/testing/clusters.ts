import { debianPostgres, embeddedPostgres, exists } from "../stack/binaries.ts";
import { Failure } from "../stack/failure.ts";
import { startTestCluster, type TestCluster } from "./databases.ts";

/** The clusters of one test run, each started when first asked for. */
export interface TestClusters {
  /** The embedded Postgres 17, as in `npm start`. */
  embedded(): Promise<TestCluster>;
  /** Debian's PostgreSQL 15 with pg_cron. Ask `missingFromDebian` first. */
  debian(): Promise<TestCluster>;
  stop(): Promise<void>;
}

/** Prepares clusters that start on demand and stop together. */
export function testClusters(): TestClusters {
  const started: Promise<TestCluster>[] = [];
  const start = (options: Parameters<typeof startTestCluster>[0]) => {
    const cluster = startTestCluster(options);
    started.push(cluster);
    return cluster;
  };
  const startDebian = () => {
    const installation = debianPostgres();
    if (!installation) throw new Failure("NO_DEBIAN", missingFromDebian() ?? "");
    return start({ installation, cron: "installed" });
  };
  let embedded: Promise<TestCluster> | undefined;
  let debian: Promise<TestCluster> | undefined;
  return {
    embedded: () => embedded ??= start({ installation: embeddedPostgres() }),
    debian: () => debian ??= startDebian(),
    async stop() {
      const clusters = await Promise.allSettled(started);
      for (const result of clusters) if (result.status === "fulfilled") await result.value.stop();
    },
  };
}

const packages = {
  pg_cron: "postgresql-15-cron",
  pgtap: "postgresql-15-pgtap",
  plpgsql_check: "postgresql-15-plpgsql-check",
};

/** The first of Debian's PostgreSQL 15 and these extensions that is missing; null if none. */
export function missingFromDebian(...extensions: (keyof typeof packages)[]): string | null {
  if (!debianPostgres()) return "PostgreSQL 15 is not installed (Debian: postgresql-15)";
  const missing = (["pg_cron", "pgtap", ...extensions] as const).find((extension) =>
    !exists(`/usr/share/postgresql/15/extension/${extension}.control`)
  );
  return missing ? `${missing} is not installed (Debian: ${packages[missing]})` : null;
}
