import assert from "node:assert/strict";
import { measure, median, ratio } from "./harness.ts";
import { reportRows, reportTable } from "./report.ts";

Deno.test("median() takes the middle, of an even number the mean of the middle two", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
});

Deno.test("ratio() says how many times better ours is, whichever way is better", () => {
  assert.equal(ratio("lower", [1, 1, 1], [5, 4, 6]), 5);
  assert.equal(ratio("higher", [10, 10, 10], [5, 5, 5]), 2);
});

Deno.test("measure() interleaves ours with the peers and lets a slow one sit out", async () => {
  const order: string[] = [];
  const run = (name: string, value: number) => () => {
    order.push(name);
    return Promise.resolve(value);
  };
  const measurements = await measure(
    [{
      name: "row",
      unit: "ms",
      better: "lower",
      ours: run("ours", 1),
      peers: [{ name: "fast", run: run("fast", 2) }, {
        name: "slow",
        run: run("slow", 9),
        rounds: 1,
      }],
    }],
    2,
    () => {},
  );
  assert.deepEqual(order, ["ours", "fast", "ours", "fast", "slow", "ours", "fast"]);
  assert.deepEqual(
    reportRows(measurements).map(({ peer_name, ratio, rounds }) => ({ peer_name, ratio, rounds })),
    [{ peer_name: "fast", ratio: 2, rounds: 2 }, { peer_name: "slow", ratio: 9, rounds: 1 }],
  );
  assert.equal(reportTable(measurements).split("\n").length, 4);
});
