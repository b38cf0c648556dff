import { currentDeno } from "../stack/binaries.ts";
import type { Cluster } from "../stack/cluster.ts";
import { Failure } from "../stack/failure.ts";
import { runCli } from "../stack/migrate.ts";
import { inRepository } from "../stack/paths.ts";
import type { TestClusters } from "../testing/clusters.ts";
import { failed, type TestResult } from "../testing/result.ts";

/** The file with the types of schema bulwark. */
export const typesFile = inRepository(
  "supabase",
  "functions",
  "_bulwark",
  "foundation",
  "database.types.ts",
);

/** Generates the TypeScript types of schema bulwark from a migrated database. */
export async function generateTypes(cluster: Cluster, password: string): Promise<string> {
  const { success, output, stdout } = await runCli(
    ["gen", "types", "typescript", "--schema", "bulwark"],
    { cluster, password },
  );
  if (!success) throw new Failure("TYPES_FAILED", `Cannot generate types: ${output.trim()}`);
  return format(stdout);
}

async function format(source: string): Promise<string> {
  const child = new Deno.Command(currentDeno(), {
    args: ["fmt", "--ext=ts", `--config=${inRepository("deno.json")}`, "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  await new Blob([source]).stream().pipeTo(child.stdin);
  return new TextDecoder().decode((await child.output()).stdout);
}

/** The generated types in the repository are those of the migrations. */
export async function generatedTypes(clusters: TestClusters): Promise<TestResult> {
  const { cluster, password } = await clusters.embedded();
  const fresh = await generateTypes(cluster, password);
  const kept = await Deno.readTextFile(typesFile).catch(() => "");
  return fresh === kept ? { passed: 1, failures: [] } : failed(
    "supabase/functions/_bulwark/foundation/database.types.ts is out of date: run npm run types",
  );
}
