import { currentDeno, hostedDeno } from "../stack/binaries.ts";
import { inRepository } from "../stack/paths.ts";
import type { TestResult } from "../testing/result.ts";
import { filesBelow } from "../testing/selection.ts";
import { runTool } from "./command.ts";

const config = `--config=${inRepository("deno.json")}`;

/** All TypeScript is free of type errors under the strict compiler options. */
export async function typesOnCurrentDeno(): Promise<TestResult> {
  return runTool(currentDeno(), [
    "check",
    "--quiet",
    config,
    ...await sources("cli", "clients", "scripts", "tests", functions),
  ]);
}

/** The functions and their tests are free of type errors on the Deno that hosted follows. */
export async function typesOnHostedDeno(): Promise<TestResult> {
  return runTool(hostedDeno(), ["check", "--quiet", config, ...await sources(functions)]);
}

/** deno lint has nothing to say. */
export function linting(): Promise<TestResult> {
  return runTool(currentDeno(), ["lint", "--quiet", config]);
}

/** Everything is formatted as deno fmt would. */
export function formatting(): Promise<TestResult> {
  return runTool(currentDeno(), ["fmt", "--check", config]);
}

const functions = "supabase/functions";

async function sources(...folders: string[]): Promise<string[]> {
  return (await Promise.all(folders.map((folder) => filesBelow(folder, ".ts")))).flat();
}
