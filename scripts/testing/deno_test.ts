import { inRepository, root } from "../stack/paths.ts";
import type { TestResult } from "./result.ts";

/** How to run test files with a Deno. */
export interface DenoTestOptions {
  deno: string;
  paths: string[];
  env?: Record<string, string>;
  signal: AbortSignal;
}

/** Longer than any files should take; one that hangs must not hang the run. */
const timeout = 8 * 60_000;

/**
 * Runs test files in one process, each with modules of its own. Types are the checks' business.
 * Ignored tests are counted as skipped under their own names, which are to say what they need.
 */
export async function runDenoTest(options: DenoTestOptions): Promise<TestResult> {
  const timedOut = AbortSignal.timeout(timeout);
  const child = new Deno.Command(options.deno, {
    args: [
      "test",
      "--allow-all",
      "--no-check",
      `--config=${inRepository("deno.json")}`,
      ...options.paths.map((path) => inRepository(path)),
    ],
    cwd: root,
    env: { ...options.env, NO_COLOR: "1", RUST_BACKTRACE: "0", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.any([options.signal, timedOut]),
  }).spawn();
  const { success, stdout, stderr } = await child.output();
  const said = new TextDecoder().decode(stderr) +
    (timedOut.aborted ? `stopped after ${timeout / 60_000} minutes` : "");
  return readSummary(new TextDecoder().decode(stdout), said, success);
}

/** Reads the totals that `deno test` ends with, and what it said of the failures. */
export function readSummary(stdout: string, stderr: string, success: boolean): TestResult {
  const summary = /^(?:ok|FAILED) \| (\d+) passed.*?\| (\d+) failed(.*)$/m.exec(stdout);
  const passed = Number(summary?.[1] ?? 0);
  const failing = Number(summary?.[2] ?? 0);
  const skipped = [...stdout.matchAll(/^(.+) \.\.\. ignored/gm)].map(([, name]) => name ?? "");
  if (success && failing === 0 && passed + skipped.length > 0) {
    return { passed, failures: [], skipped };
  }
  const details = /\n ERRORS \n([\s\S]*?)\n FAILURES \n/.exec(stdout)?.[1]?.trim() ||
    `${stdout}\n${stderr}`.trim() || "no test ran";
  // One entry for each failed test, so that they count; the first carries all the details.
  return {
    passed,
    skipped,
    failures: [details, ...Array(Math.max(0, failing - 1)).fill("see above")],
  };
}
