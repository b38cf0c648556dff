import { databaseModule, permissionsModule, readOpen } from "../building/client/database.ts";
import { format } from "../building/client/format.ts";
import { documentPath, openApiDocument } from "../building/openapi/document.ts";
import type { Cluster } from "../stack/cluster.ts";
import { connect } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { runCli } from "../stack/migrate.ts";
import { inRepository } from "../stack/paths.ts";
import type { TestClusters } from "../testing/clusters.ts";
import { failed, type TestResult } from "../testing/result.ts";

/** The file with the types of schema bulwark. */
const typesFile = "supabase/functions/_bulwark/foundation/database.types.ts";

const client = "clients/js/src/generated";

/** Everything that is generated from a migrated database, by path. */
export async function generateTypes(clusters: TestClusters): Promise<Map<string, string>> {
  const embedded = await clusters.embedded();
  const types = await typesOf(embedded.cluster, embedded.password);
  const sql = connect(embedded.url("postgres"));
  try {
    const open = await readOpen(sql);
    const made = new Map([
      [typesFile, types],
      [`${client}/database.ts`, await format(databaseModule(types, open))],
      [`${client}/permissions.ts`, await format(permissionsModule(open))],
    ]);
    return made.set(documentPath, await openApiDocument(sql, made));
  } finally {
    await sql.end();
  }
}

async function typesOf(cluster: Cluster, password: string): Promise<string> {
  const { success, output, stdout } = await runCli(
    ["gen", "types", "typescript", "--schema", "bulwark"],
    { cluster, password },
  );
  if (!success) throw new Failure("TYPES_FAILED", `Cannot generate types: ${output.trim()}`);
  return format(stdout);
}

/** The generated types in the repository are those of the migrations. */
export async function generatedTypes(clusters: TestClusters): Promise<TestResult> {
  const stale: string[] = [];
  for (const [path, text] of await generateTypes(clusters)) {
    const kept = await Deno.readTextFile(inRepository(path)).catch(() => "");
    if (kept !== text) stale.push(path);
  }
  return stale.length === 0
    ? { passed: 1, failures: [] }
    : failed(`out of date, run npm run types: ${stale.join(", ")}`);
}
