import { debianPostgres, embeddedPostgres, exists } from "../stack/binaries.ts";
import { startTestCluster, type TestCluster } from "./databases.ts";

/** The clusters of one test run, each started when first asked for. */
export interface TestClusters {
  /** The embedded Postgres 17, as in `npm start`. */
  embedded(): Promise<TestCluster>;
  /** Debian's PostgreSQL 15 with pg_cron, or what is missing for it. */
  debian(): Promise<{ debian: TestCluster; missing: null } | { debian: null; missing: string }>;
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
  let embedded: Promise<TestCluster> | undefined;
  let debian: ReturnType<TestClusters["debian"]> | undefined;
  const startDebian: TestClusters["debian"] = async () => {
    const missing = missingForDebian();
    if (missing) return { debian: null, missing };
    const installation = debianPostgres()!;
    return { debian: await start({ installation, cron: true }), missing: null };
  };
  return {
    embedded: () => embedded ??= start({ installation: embeddedPostgres() }),
    debian: () => debian ??= startDebian(),
    async stop() {
      const clusters = await Promise.allSettled(started);
      for (const result of clusters) if (result.status === "fulfilled") await result.value.stop();
    },
  };
}

function missingForDebian(): string | null {
  if (!debianPostgres()) return "PostgreSQL 15 is not installed (Debian: postgresql-15)";
  for (const [extension, packaged] of Object.entries(debianPackages)) {
    if (exists(`/usr/share/postgresql/15/extension/${extension}.control`)) continue;
    return `${extension} is not installed (Debian: ${packaged})`;
  }
  return null;
}

const debianPackages = { pg_cron: "postgresql-15-cron", pgtap: "postgresql-15-pgtap" };
