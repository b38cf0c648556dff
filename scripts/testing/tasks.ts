import { dirname } from "node:path";
import { currentDeno, hostedDeno } from "../stack/binaries.ts";
import { missingFromDebian, type TestClusters } from "./clusters.ts";
import { runDenoTest } from "./deno_test.ts";
import { runPgtap } from "./pgtap.ts";
import type { TestTask } from "./result.ts";
import type { Selection } from "./selection.ts";
import type { TestStacks } from "./test_stack.ts";

/**
 * The pgTAP files, as `postgres`: on Postgres 17 each on a copy of the migrated database; on
 * Debian's 15, where pg_cron works in one database only, one after the other in that one.
 */
export function pgtapTasks(paths: string[], clusters: TestClusters): TestTask[] {
  const on17 = paths.map((path): TestTask => ({
    kind: "pgtap 17",
    name: path.slice("supabase/tests/".length),
    run: async () => {
      const embedded = await clusters.embedded();
      return embedded.withCopy((database) => runPgtap(path, embedded.url("postgres", database)));
    },
  }));
  return [...on17, ...pgtapOnDebian(paths, clusters)];
}

function pgtapOnDebian(paths: string[], clusters: TestClusters): TestTask[] {
  const missing = missingFromDebian();
  if (missing && paths.length > 0) {
    const skipped = { passed: 0, failures: [], skipped: [missing] };
    return [{ kind: "pgtap 15", name: "all files", run: () => Promise.resolve(skipped) }];
  }
  let previous: Promise<unknown> = Promise.resolve();
  return paths.map((path): TestTask => ({
    kind: "pgtap 15",
    name: path.slice("supabase/tests/".length),
    run: async () => {
      const debian = await clusters.debian();
      const result = previous.then(() => runPgtap(path, debian.url("postgres")));
      previous = result.catch(() => {});
      return result;
    },
  }));
}

/**
 * Unit tests, a process for each folder: the functions' on both Denos, the scripts' on the current
 * one.
 */
export function denoTasks(selection: Selection, signal: AbortSignal): TestTask[] {
  const tasks = (kind: string, deno: () => string, paths: string[]): TestTask[] =>
    [...Map.groupBy(paths, dirname)].map(([folder, paths]) => ({
      kind,
      name: paths.length === 1 ? paths[0] ?? folder : folder,
      run: () => runDenoTest({ deno: deno(), paths, signal }),
    }));
  return [
    ...tasks("deno", currentDeno, [...selection.scripts, ...selection.unit]),
    ...tasks("deno 2.1", hostedDeno, selection.unit),
  ];
}

/** Tests over HTTP, each file against a stack of its own: some tamper with theirs. */
export function endToEndTasks(
  paths: string[],
  stacks: TestStacks,
  signal: AbortSignal,
): TestTask[] {
  return paths.map((path) => ({
    kind: "end to end",
    name: path,
    run: async () => {
      const { env, stop } = await stacks.start();
      try {
        return await runDenoTest({ deno: currentDeno(), paths: [path], env, signal });
      } finally {
        await stop();
      }
    },
  }));
}
