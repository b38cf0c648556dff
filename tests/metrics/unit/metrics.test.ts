/** Recording and flushing in an isolate. */
import assert from "node:assert/strict";
import { BulwarkError } from "../../../supabase/functions/_bulwark/foundation/errors.ts";
import { handle } from "../../../supabase/functions/_bulwark/foundation/http.ts";
import {
  flushSoon,
  measure,
  measured,
  measuredFetch,
  metrics as isolate,
} from "../../../supabase/functions/_bulwark/metrics/mod.ts";
import { router } from "../../../supabase/functions/_bulwark/foundation/router.ts";
import { Flusher, Refused } from "../../../supabase/functions/_bulwark/metrics/flush.ts";
import {
  bucketOf,
  relativeError,
  type Sample,
} from "../../../supabase/functions/_bulwark/metrics/histogram.ts";
import { isolateSampler } from "../../../supabase/functions/_bulwark/metrics/isolate.ts";
import { Metrics } from "../../../supabase/functions/_bulwark/metrics/registry.ts";

const bucketValue = (bucket: number) => 2 * 2 ** (bucket / 64) / (2 ** (1 / 64) + 1);

/** A percentile by nearest rank, from samples merged as the database merges them. */
function percentile(samples: Sample[], share: number): number {
  const merged = new Map<number, number>([[-Infinity, 0]]);
  for (const { zeros, indexes, counts } of samples) {
    merged.set(-Infinity, (merged.get(-Infinity) ?? 0) + zeros);
    indexes.forEach((index, i) => merged.set(index, (merged.get(index) ?? 0) + (counts[i] ?? 0)));
  }
  const count = [...merged.values()].reduce((sum, n) => sum + n, 0);
  let upto = 0;
  for (const [index, n] of [...merged].sort(([a], [b]) => a - b)) {
    upto += n;
    if (upto >= Math.ceil(share * count)) return index === -Infinity ? 0 : bucketValue(index);
  }
  return NaN;
}

/** The same random numbers in every run. */
function random(seed: number): () => number {
  return () => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return (seed + 0.5) / 2 ** 32;
  };
}

const next = random(7);
const distributions: Record<string, (i: number) => number> = {
  "all the same": () => 123.456,
  "two far apart": (i) => i % 100 < 97 ? 0.001 : 1e9,
  "uniform": () => next() * 1000,
  "log-normal": () => Math.exp(4 + 2 * Math.sqrt(-2 * Math.log(next())) * Math.cos(6.283 * next())),
  "Pareto with an endless tail": () => 1 / next() ** 2,
  "on the bounds of buckets": (i) => 2 ** ((i % 640) / 64),
  "powers of two and their neighbours": (i) => 2 ** (i % 40) * (1 + (i % 3 - 1) * 2 ** -50),
  "mostly nothing": (i) => i % 20 === 0 ? next() * 10 : 0,
  "from the smallest to the largest": (i) => 10 ** (-140 + i % 280),
  "rising as time goes on": (i) => i + 1,
  "two modes, one at nothing": (i) => i % 2 === 0 ? 0 : 5000,
  "the largest numbers there are": () => 1.7e308,
  "one octave below, many huge": (i) => i % 3 === 0 ? 1e149 : 9.9e149,
};

for (const [name, value] of Object.entries(distributions)) {
  Deno.test(`MET-U01: percentiles are within the stated error: ${name}`, () => {
    let now = 0;
    const isolates = Array.from({ length: 7 }, () => new Metrics({ now: () => now }));
    const values = Array.from({ length: 20_000 }, (_, i) => value(i));
    values.forEach((each, i) => {
      if (i % 1000 === 0) now += 60_000;
      isolates[i % 7]!.histogram("t").observe(each);
    });
    const samples = isolates.flatMap((each) => each.drain());
    assert.ok(samples.length > 7, "several minutes and several isolates are merged");
    values.sort((a, b) => a - b);
    for (const share of [0.01, 0.5, 0.75, 0.95, 0.99, 0.999]) {
      const exact = values[Math.ceil(share * values.length) - 1]!;
      const found = percentile(samples, share);
      // Bounded by the exact extremes, as in the database.
      const kept = Math.min(Math.max(found, values[0]!), values.at(-1)!);
      const off = exact === 0 ? kept : Math.abs(kept - exact) / exact;
      assert.ok(off <= relativeError + 1e-12, `p${share * 100}: ${kept} for ${exact}`);
    }
  });
}

Deno.test("MET-U02: the stated error is 0.55 %, and buckets of one octave stay in it", () => {
  assert.ok(relativeError < 0.0055);
  for (let octave = -20; octave <= 20; octave++) {
    assert.equal(bucketOf(2 ** octave), octave * 64);
    assert.equal(bucketOf(2 ** octave * 1.0000001), octave * 64 + 1);
  }
  assert.equal(bucketOf(Number.MIN_VALUE), null);
});

Deno.test("MET-U03: what cannot be counted is dropped, counted as dropped, and throws nothing", () => {
  const metrics = new Metrics();
  const histogram = metrics.histogram("t");
  for (const wrong of [NaN, Infinity, -Infinity, -1]) histogram.observe(wrong);
  metrics.counter("c").add(-1);
  metrics.gauge("g").set(NaN);
  const samples = metrics.drain();
  assert.deepEqual(samples.map(({ metric, total }) => [metric, total]), [["metrics_dropped", 6]]);
});

Deno.test("MET-U04: a label that takes ever new values becomes one series", () => {
  const metrics = new Metrics({ maxSeries: 10 });
  const counter = metrics.counter("c");
  for (let i = 0; i < 1000; i++) counter.add(1, { user: String(i) });
  const samples = metrics.drain();
  assert.equal(samples.length, 11);
  const rest = samples.find(({ labels }) => labels.overflow === "true");
  assert.equal(rest?.total, 990);
  assert.equal(samples.reduce((sum, { total }) => sum + total, 0), 1000);
});

Deno.test("MET-U05: labels are what the database takes", () => {
  const metrics = new Metrics();
  metrics.counter("c").add(1, { le: "1", "Bad name": "x", fine: "y".repeat(500) });
  assert.deepEqual(metrics.drain()[0]?.labels, { fine: "y".repeat(128) });
  assert.throws(() => metrics.counter("Bad name"), TypeError);
  assert.throws(() => metrics.gauge("c"), TypeError);
});

Deno.test("MET-U06: a flush waits, takes everything that came meanwhile, and goes out once", async () => {
  const metrics = new Metrics();
  const sent: Sample[][] = [];
  const flusher = new Flusher(metrics, {
    delay: 20,
    send: ({ samples }) => {
      sent.push(samples);
      return Promise.resolve();
    },
  });
  for (let i = 0; i < 5; i++) {
    metrics.counter("c").add();
    flusher.soon();
  }
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual(sent.map((samples) => samples.map(({ total }) => total)), [[5]]);
  await flusher.flush();
  assert.equal(sent.length, 1, "with nothing to send nothing is sent");
});

Deno.test("MET-U07: a flush that fails is repeated as the same batch, and nothing gets lost", async () => {
  const metrics = new Metrics();
  const ids: string[] = [];
  const stored = new Map<string, number>();
  let failing = true;
  const flusher = new Flusher(metrics, {
    delay: 1,
    send: ({ id, samples }) => {
      ids.push(id);
      // The batch is stored, but the answer is lost.
      stored.set(id, samples[0]?.total ?? 0);
      return failing ? Promise.reject(new Error("away")) : Promise.resolve();
    },
  });
  metrics.counter("c").add(3);
  await flusher.flush();
  metrics.counter("c").add(4);
  await flusher.flush();
  failing = false;
  await flusher.flush();
  assert.equal(new Set(ids).size, 2);
  assert.deepEqual([...stored.values()], [3, 4]);
});

Deno.test("MET-U08: measure() returns and throws what the function does, and times both", async () => {
  isolate.drain();
  assert.equal(measure("u08", () => 5), 5);
  assert.equal(await measure("u08", () => Promise.resolve(6)), 6);
  assert.throws(() => measure("u08", () => JSON.parse("{")), SyntaxError);
  await assert.rejects(measure("u08", () => Promise.reject(new Error("no"))), /no/);
  const counts = isolate.drain().map(({ labels, count }) => [labels.result, count]);
  assert.deepEqual(counts, [["ok", 2], ["error", 2]]);
});

Deno.test("MET-U09: the decorator measures a method and keeps its this", async () => {
  class Reports {
    rows = 3;
    @measured("u09", { kind: "report" })
    async read(more: number) {
      await Promise.resolve();
      return this.rows + more;
    }
  }
  isolate.drain();
  assert.equal(await new Reports().read(4), 7);
  const [sample] = isolate.drain();
  assert.deepEqual(sample?.labels, { kind: "report", result: "ok" });
});

Deno.test("MET-U10: handle() records each request with function, method, status and error code", async () => {
  isolate.drain();
  const answer = handle(
    router((_, handler) => (request) => handler(request, { rule: null, caller: null }), {
      "GET /reports": () => Promise.resolve(new Response("fine")),
      "GET /reports/7": () => Promise.resolve(new Response("fine")),
      "GET /reports/broken": () => Promise.reject(new Error("inside")),
    }),
    () => {},
    () => {},
  );
  await answer(new Request("http://localhost/reports/7?token=secret"));
  await answer(new Request("http://localhost/reports/broken"));
  await answer(new Request("http://localhost/reports", { method: "BREW" }));
  const samples = isolate.drain();
  const times = samples.filter(({ metric }) => metric === "api_response_time");
  assert.deepEqual(times.map(({ labels }) => labels), [
    { function: "reports", method: "GET", status: "2xx" },
    { function: "reports", method: "GET", status: "5xx" },
    { function: "reports", method: "other", status: "4xx" },
  ]);
  const errors = samples.filter(({ metric }) => metric === "api_errors");
  assert.deepEqual(errors.map(({ labels }) => labels.code), ["INTERNAL", "METHOD_NOT_ALLOWED"]);
  assert.ok(!JSON.stringify(samples).includes("secret"));
});

Deno.test("MET-U17: without the capability metrics what was recorded is forgotten", () => {
  isolate.counter("kept_for_nobody").add(1);
  flushSoon(new Set());
  assert.equal(isolate.isEmpty, true);
});

Deno.test("MET-U11: the isolate's levels are percentages, and left out where nobody tells", () => {
  let now = 0;
  let used: number | null = 0;
  const metrics = new Metrics();
  const gauges = { memory: metrics.gauge("m"), cpu: metrics.gauge("c") };
  const sample = isolateSampler(gauges, {
    memoryLimit: 200,
    now: () => now,
    cpuTime: () => used,
    memory: () => 50,
  });
  now = 1000;
  used = 250;
  sample();
  const last = () => Object.fromEntries(metrics.drain().map(({ metric, last }) => [metric, last]));
  assert.deepEqual(last(), { m: 25, c: 25 });
  used = null;
  now = 2000;
  sample();
  assert.deepEqual(last(), { m: 25 });
});

Deno.test("MET-U12: a sum of huge values stays a number, and nothing in a label breaks its flush", () => {
  const metrics = new Metrics();
  const histogram = metrics.histogram("h");
  for (let i = 0; i < 3; i++) histogram.observe(1e308);
  metrics.gauge("g").set(-1.7e308);
  metrics.gauge("g").set(-1.7e308);
  // Cut at 128, this ends in a lone surrogate; and jsonb accepts no NUL.
  metrics.counter("c").add(1, { a: "x".repeat(127) + "\u{1f600}", b: "\0" });
  const samples = metrics.drain();
  for (const { total } of samples) assert.ok(Math.abs(total) <= 1e300, String(total));
  assert.deepEqual(samples.find(({ metric }) => metric === "c")?.labels, {
    a: "x".repeat(127) + "\ufffd",
    b: "\ufffd",
  });
});

Deno.test("MET-U13: a batch that the database will never take holds up no other", async () => {
  const metrics = new Metrics();
  const stored: number[] = [];
  const logged: string[] = [];
  let lost = 0;
  const flusher = new Flusher(metrics, {
    delay: 1,
    log: (line) => logged.push(line),
    send: ({ samples }) => {
      const [{ metric, total } = { metric: "", total: 0 }] = samples;
      if (metric === "poison") return Promise.reject(new Refused("22P02"));
      lost += samples.find((one) => one.metric === "metrics_dropped")?.total ?? 0;
      stored.push(total);
      return Promise.resolve();
    },
  });
  metrics.counter("poison").add(1);
  await flusher.flush();
  assert.equal(logged.length, 1);
  metrics.counter("c").add(3);
  await flusher.flush();
  assert.equal(stored.reduce((sum, total) => sum + total, 0), 3, "the next one arrives");
  assert.equal(lost, 1, "and what got lost is said");
});

Deno.test("MET-U14: what could not be sent for too long is lost and counted as lost, never counted twice", async () => {
  const metrics = new Metrics();
  let sent = 0;
  const flusher = new Flusher(metrics, {
    delay: 1,
    send: () => {
      sent++;
      return Promise.reject(new Error("away"));
    },
  });
  metrics.counter("c").add(1);
  await flusher.flush();
  const clock = performance.now;
  performance.now = () => clock.call(performance) + 51 * 60_000;
  try {
    await flusher.flush();
  } finally {
    performance.now = clock;
  }
  assert.equal(sent, 1);
  assert.deepEqual(metrics.drain().map(({ metric, total }) => [metric, total]), [
    ["metrics_dropped", 1],
  ]);
});

Deno.test("MET-U15: the name of an unknown table never becomes a label", async () => {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    ({ url }) => new Response(null, { status: url.includes("junk") ? 404 : 200 }),
  );
  try {
    isolate.drain();
    for (const path of ["reports", "junk_1", "junk_2", "rpc/junk"]) {
      const answer = await measuredFetch(`http://127.0.0.1:${server.addr.port}/rest/v1/${path}`);
      await answer.body?.cancel();
    }
    const labels = isolate.drain().filter(({ metric }) => metric === "database_query_time")
      .map(({ labels, count }) => [labels.operation, labels.result, count]);
    assert.deepEqual(labels, [
      ["reports", "ok", 1],
      ["unknown", "error", 2],
      ["rpc/junk", "error", 1],
    ]);
  } finally {
    await server.shutdown();
  }
});

Deno.test("MET-U16: junk in a URL or a method gives no labels of its own", async () => {
  isolate.drain();
  const refusal = new BulwarkError(405, "METHOD_NOT_ALLOWED", "Cannot use this method");
  const answer = handle(
    ({ method }) =>
      method === "GET" ? Promise.resolve(new Response("fine")) : Promise.reject(refusal),
    () => {},
    () => {},
  );
  for (let i = 0; i < 300; i++) {
    await answer(new Request(`http://localhost/reports/${i}/%00${"x".repeat(i)}?a=${i}`));
    await answer(new Request(`http://localhost/reports`, { method: `M${i}` }));
    await answer(new Request(`http://localhost/9${i}/%F0%9F`, { method: "GET" }));
  }
  const samples = isolate.drain().filter(({ metric }) => metric === "api_response_time");
  const series = samples.map(({ labels }) =>
    `${labels.function} ${labels.method} ${labels.status}`
  );
  // Once for each minute that it took.
  assert.deepEqual(
    [...new Set(series)],
    ["reports GET 2xx", "reports other 4xx", "unknown GET 2xx"],
  );
});
