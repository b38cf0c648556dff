/** `npm run check`: everything about the code that needs no test to be run. */
import { checks } from "./checking/checks.ts";
import { parseArguments } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";
import { testClusters } from "./testing/clusters.ts";
import { runTasks } from "./testing/runner.ts";

await main(async (signal) => {
  parseArguments({}, "npm run check");
  const clusters = testClusters();
  try {
    const strict = Deno.env.get("CI") === "true";
    const totals = await runTasks(checks(clusters), {
      parallel: 2,
      strict,
      signal,
      print: console.log,
    });
    return totals.failed > 0 ? 1 : 0;
  } finally {
    await clusters.stop();
  }
});
