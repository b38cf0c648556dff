import { squawk } from "../stack/binaries.ts";
import { inRepository } from "../stack/paths.ts";
import type { TestResult } from "../testing/result.ts";
import { filesBelow } from "../testing/selection.ts";
import { runTool } from "./command.ts";

/** squawk finds nothing in the migrations beyond what `.squawk.toml` excludes with a reason. */
export async function migrationLint(): Promise<TestResult> {
  const migrations = await filesBelow("supabase/migrations", ".sql");
  const config = inRepository(".squawk.toml");
  return runTool(squawk(), ["--config", config, "--reporter", "gcc", ...migrations]);
}
