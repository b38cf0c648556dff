import { reason } from "../stack/failure.ts";
import { failed, type TestResult, type TestTask } from "./result.ts";

/** Totals of a test run. */
export interface Totals {
  passed: number;
  failed: number;
}

/** How to run tasks. */
export interface RunOptions {
  /** How many tasks run at a time. */
  parallel: number;
  /** Counts everything skipped as failed, as CI does: there, all tools are to be installed. */
  strict: boolean;
  signal: AbortSignal;
  print(line: string): void;
}

/**
 * Runs tasks, several at a time and started in order, those of a lane one by one, printing one line for each as it ends and
 * the details of what failed. A task that throws has failed; the others go on.
 */
export async function runTasks(tasks: TestTask[], options: RunOptions): Promise<Totals> {
  const totals: Totals = { passed: 0, failed: 0 };
  const queue = [...tasks];
  const busy = new Set<string>();
  const widths = {
    kind: Math.max(0, ...tasks.map(({ kind }) => kind.length)),
    name: Math.max(0, ...tasks.map(({ name }) => name.length)),
  };
  const take = () => {
    const free = queue.findIndex(({ lane }) => lane === undefined || !busy.has(lane));
    return free < 0 ? undefined : queue.splice(free, 1)[0];
  };
  // A worker that finds only tasks of busy lanes ends: the one in a lane goes on with the rest.
  const worker = async () => {
    for (let task = take(); task; task = take()) {
      if (options.signal.aborted) return;
      if (task.lane !== undefined) busy.add(task.lane);
      const start = performance.now();
      const result = await outcome(task);
      if (task.lane !== undefined) busy.delete(task.lane);
      if (options.signal.aborted) return;
      const failures = result.failures.length + (options.strict ? result.skipped?.length ?? 0 : 0);
      totals.passed += result.passed;
      totals.failed += failures;
      const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(6);
      const status = failures > 0 ? "FAIL" : result.passed > 0 ? "ok  " : "skip";
      options.print(
        `${status}  ${task.kind.padEnd(widths.kind)}  ${task.name.padEnd(widths.name)}` +
          `${String(result.passed).padStart(5)} passed${seconds} s`,
      );
      for (const failure of result.failures) options.print(indent(failure));
      for (const skip of result.skipped ?? []) options.print(indent(`skipped: ${skip}`));
    }
  };
  await Promise.all(Array.from({ length: options.parallel }, worker));
  return totals;
}

async function outcome(task: TestTask): Promise<TestResult> {
  try {
    return await task.run();
  } catch (thrown) {
    const isDefect = thrown instanceof Error && !("status" in thrown) && thrown.stack;
    return failed(isDefect ? thrown.stack ?? "" : reason(thrown));
  }
}

function indent(text: string): string {
  return text.split("\n").map((line) => `        ${line}`).join("\n");
}
