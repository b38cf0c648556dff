import assert from "node:assert/strict";
import type { TestTask } from "./result.ts";
import { runTasks } from "./runner.ts";

Deno.test("tasks of a lane run one by one, the others beside them, and all of them run", async () => {
  const running: string[] = [];
  const seen: string[] = [];
  const task = (name: string, lane?: string): TestTask => ({
    kind: "test",
    name,
    ...lane !== undefined && { lane },
    async run() {
      running.push(name);
      seen.push([...running].sort().join(" "));
      await new Promise((resolve) => setTimeout(resolve, 5));
      running.splice(running.indexOf(name), 1);
      return { passed: 1, failures: [] };
    },
  });
  const tasks = [task("a1", "a"), task("a2", "a"), task("a3", "a"), task("b"), task("c")];
  const totals = await runTasks(tasks, {
    parallel: 3,
    strict: true,
    signal: new AbortController().signal,
    print() {},
  });
  assert.deepEqual(totals, { passed: 5, failed: 0 });
  assert.ok(seen.every((names) => (names.match(/a/g) ?? []).length <= 1), seen.join());
  assert.ok(seen.some((names) => names.includes(" ")), "some ran beside each other");
});
