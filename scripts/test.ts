/**
 * `npm test [-- noun...]`: all tests, or those of some nouns (`rbac`, `rbac/races`, `check`, ...).
 * Everything runs on databases of its own, in temporary folders, never on the one of `npm start`.
 */
import { checks } from "./checking/checks.ts";
import { parseArguments } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";
import { makeScratchFolder } from "./stack/scratch.ts";
import { testClusters } from "./testing/clusters.ts";
import { keptFolder } from "./testing/once.ts";
import { runTasks } from "./testing/runner.ts";
import { select } from "./testing/selection.ts";
import { subsetClusters, subsetTasks } from "./testing/subsets.ts";
import { denoTasks, endToEndTasks, pgtapOnDebian, pgtapTasks, realTasks } from "./testing/tasks.ts";
import { testCommand } from "./testing/test_command.ts";
import { testStacks } from "./testing/test_stack.ts";

// The tests do not depend on what a developer has set there.
Deno.env.set("BULWARK_ENV_FILE", "");

await main(async (signal) => {
  const { positionals } = parseArguments({}, "npm test -- [noun...]", { positionals: Infinity });
  const selection = await select(positionals);
  Deno.env.set("BULWARK_TEST_PAGES", selection.pages.join());
  const kept = await makeScratchFolder("kept");
  Deno.env.set(keptFolder, kept.path);
  const clusters = testClusters();
  const made = { stacks: testStacks(), command: testCommand() };
  const subsets = subsetClusters();
  try {
    const tasks = [
      ...selection.checks ? checks(clusters) : [],
      // The stack's own tests take longest and so come first; short ones fill the end.
      ...denoTasks(selection, made, signal),
      ...pgtapOnDebian(selection.pgtap, clusters),
      ...endToEndTasks(selection.endToEnd, made, signal),
      ...realTasks(selection.real, made, signal),
      ...selection.subsets === "none" ? [] : subsetTasks(subsets, selection.subsets === "thorough"),
      ...pgtapTasks(selection.pgtap, clusters),
    ];
    const totals = await runTasks(tasks, {
      // More than there are cores, because much of the time is spent waiting.
      parallel: navigator.hardwareConcurrency + 2,
      strict: Deno.env.get("CI") === "true",
      signal,
      print: console.log,
    });
    if (signal.aborted) return;
    const nothingRan = totals.passed + totals.failed === 0;
    if (nothingRan) console.log(`Nothing to test for: ${positionals.join(" ")}`);
    console.log(`${totals.passed} passed, ${totals.failed} failed`);
    return totals.failed > 0 || nothingRan ? 1 : 0;
  } finally {
    await clusters.stop();
    await made.stacks.stop();
    await made.command.stop();
    await subsets.stop();
    await kept.remove();
  }
});
