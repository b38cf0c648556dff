import { runCli } from "../stack/migrate.ts";
import type { TestClusters } from "../testing/clusters.ts";
import { failed, type TestResult } from "../testing/result.ts";

/** Supabase's own advisors, security and performance, find nothing at level warn or above. */
export async function advisors(clusters: TestClusters): Promise<TestResult> {
  const { cluster, password } = await clusters.embedded();
  const { success, output } = await runCli(
    ["db", "advisors", "--type", "all", "--level", "warn", "--fail-on", "warn"],
    { cluster, password },
  );
  return success ? { passed: 1, failures: [] } : failed(output.trim());
}
