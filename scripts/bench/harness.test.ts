import assert from "node:assert/strict";
import { measure, median, ratio } from "./harness.ts";
import { growthChart } from "./charts.ts";
import { benchmarksPage, pageIsCurrent } from "./page.ts";
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
    reportRows(measurements).map(({ peer_name, ratio, rounds }) => ({
      peer_name,
      ratio: ratio?.median,
      rounds,
    })),
    [{ peer_name: "fast", ratio: 2, rounds: 2 }, { peer_name: "slow", ratio: 9, rounds: 1 }],
  );
  assert.equal(reportTable(measurements).split("\n").length, 4);
});

Deno.test("the page says which rows show no difference, and which aims were missed and why", () => {
  const rows = reportRows([{
    row: { name: "a | b", unit: "ms", better: "lower", ours: () => Promise.resolve(1), peers: [] },
    ours: [1, 1, 1],
    peers: [
      { name: "floor", values: [0.9, 1, 1.2], aim: { ratio: 1.5, cause: "Two look-ups." } },
      { name: "rival", values: [2, 3, 4], aim: { ratio: 2 } },
    ],
  }]);
  const machine = { os: "linux", cpu: "x", cores: 2, memory_gib: 8, load: 0.1 };
  const page = benchmarksPage([
    { bench: "rate_limits", command: "npm run bench", date: "2026-01-02", machine, rows },
  ]);
  assert.match(page, /^## rate limits$/m);
  assert.match(
    page,
    /\| a \\\| b \|.*floor.*\| 1 \(0\.9\.\.1\.2\) \| no difference; aim 1\.5 missed/,
  );
  assert.match(page, /rival.*\| 3 \(2\.\.4\) \| better; aim 2 reached/);
  assert.match(
    page,
    /## Missed aims\n\n### Missed: rate limits\n\nTwo look-ups\.\n\n- a \| b: 1 of floor, aim 1\.5\n$/,
  );
});

Deno.test("docs/benchmarks.md is what the result files say", async () => {
  assert.ok(await pageIsCurrent(), "run npm run bench -- <name> --record");
});

Deno.test("a row without a peer has an aim of its own, and rows of several sizes are a curve", () => {
  const machine = { os: "linux", cpu: "x", cores: 2, memory_gib: 8, load: 0.1 };
  const point = (size: number, value: number) => ({
    row: {
      ...{ name: `a & b, ${size}`, unit: "ms", better: "lower" as const, peers: [] },
      ...{ curve: { name: "a & b", size }, aim: { value: 2, cause: "It reads all." } },
      ours: () => Promise.resolve(value),
    },
    ...{ ours: [value, value * 2], peers: [] },
  });
  const report = (rows: ReturnType<typeof reportRows>) => ({
    ...{ bench: "growth", command: "npm run bench", date: "2026-01-02", machine, rows },
  });
  const grown = report(reportRows([point(1000, 1), point(1_000_000, 9)]));
  const page = benchmarksPage([grown]);
  assert.match(page, /\| a & b, 1000 \|.*aim 2 reached \|/);
  assert.match(page, /It reads all\.\n\n- a & b, 1000000: 13\.5 ms, aim 2/);
  assert.match(page, /!\[Curves of growth\]\(benchmarks\/growth.svg\)/);
  const chart = growthChart(grown) ?? "";
  assert.equal(chart.match(/<circle/g)?.length, 2);
  assert.match(chart, /a &amp; b/);
  assert.match(chart, />1M</);
  assert.equal(growthChart(report(reportRows([]))), null);
});
