/**
 * The cost of metrics: `npm run bench -- metrics`. A request and its recording, a flush, the storage of
 * a million values, percentiles compared with percentile_cont over the raw values, and a scrape of
 * 10,000 series.
 */
import { Point, type Sample } from "../../supabase/functions/_bulwark/metrics/histogram.ts";
import { handle } from "../../supabase/functions/_bulwark/foundation/http.ts";
import { recordRequest } from "../../supabase/functions/_bulwark/metrics/mod.ts";
import { Metrics } from "../../supabase/functions/_bulwark/metrics/registry.ts";
import { toText } from "../../supabase/functions/_bulwark/metrics/exposition.ts";
import { scrape } from "../../supabase/functions/_bulwark/metrics/scrape.ts";
import { Cache } from "../../supabase/functions/_bulwark/cache/cache.ts";
import type { CallerClient } from "../../supabase/functions/_bulwark/foundation/caller.ts";
import { bench, type BenchRow, milliseconds } from "./harness.ts";

const observations = 1_000_000;
/** Log-normal around 55 ms, as response times are. */
const value = () =>
  Math.exp(4 + Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));

function sample(metric: string, labels: Record<string, string>, at: number, count: number): Sample {
  const point = new Point();
  for (let i = 0; i < count; i++) point.observe(value());
  return {
    ...{ metric, kind: "histogram", unit: "milliseconds", description: "bench", labels, at },
    ...point.sample(),
  };
}

export default bench({
  settings: { autovacuum: "on" },
  async setup({ postgres, admin, log }) {
    const flush = (samples: Sample[]) =>
      postgres`select bulwark.record_metrics(${crypto.randomUUID()}, ${
        postgres.json(samples as never)
      })`;

    log(
      "a million observations: 20 series over 50 minutes, each 1,000 a minute, in 10 flushes a minute",
    );
    const size = async () => {
      const [row] = await postgres`
        select (pg_total_relation_size('bulwark_private.metric_points')
          + pg_total_relation_size('bulwark_private.metric_series'))::float as bytes`;
      return row?.bytes as number;
    };
    const empty = await size();
    const now = Math.floor(Date.now() / 60_000) * 60;
    for (let minute = 0; minute < 50; minute++) {
      for (let part = 0; part < 10; part++) {
        const at = now - (50 - minute) * 60;
        await flush(
          Array.from({ length: 20 }, (_, i) => sample("million", { route: `r${i}` }, at, 100)),
        );
      }
    }
    await admin.unsafe("vacuum full bulwark_private.metric_points, bulwark_private.metric_series");
    const grown = await size() - empty;
    await postgres.unsafe(`
      create table public.raw (at timestamptz not null default now(), route text, value float8);
      insert into public.raw select now(), 'r' || i % 20, exp(4 + random_normal())
      from generate_series(1, ${observations}) as i;
    `);
    await admin.unsafe("vacuum analyze");

    log("10,000 series");
    for (let part = 0; part < 10; part++) {
      await postgres`insert into bulwark_private.metrics (name, kind, unit, max_series)
        values (${`many_${part}`}, 'histogram', 'milliseconds', 2000)`;
      await flush(
        Array.from({ length: 1000 }, (_, i) => sample(`many_${part}`, { i: `${i}` }, now, 20)),
      );
    }

    const metrics = new Metrics();
    const observed = metrics.histogram("bench");
    const one = Array.from(
      { length: 20 },
      (_, i) => sample("flushed", { route: `r${i}` }, now, 10),
    );
    const handler = handle(() => Promise.resolve(new Response("fine")));
    const request = new Request("http://localhost/bench");
    // As in the function, but with direct queries instead of the Data API.
    const client = {
      async rpc(name: "scrape_metrics" | "list_alerts") {
        const data = name === "list_alerts"
          ? await postgres`select name, state from bulwark.list_alerts()`
          : (await postgres`select bulwark.scrape_metrics() as all`)[0]?.all;
        return { data, error: null, status: 200 };
      },
    } as unknown as CallerClient;
    const healthy = () => Promise.resolve({ status: "ok" as const, checks: {} });
    const scraped = async () => {
      const cache = new Cache(null, {
        memory: { maxEntries: 100, maxSize: 16 * 1024 * 1024 },
        memorySeconds: 5,
        loadWait: 2000,
      });
      return toText(await scrape(cache, client, healthy), "prometheus");
    };
    const per = async (times: number, task: () => unknown) => {
      const start = performance.now();
      for (let i = 0; i < times; i++) await task();
      return (performance.now() - start) / times * 1000;
    };
    const alone = (name: string, unit: string, ours: () => Promise<number>) =>
      ({ name, unit, better: "lower", ours, peers: [] }) satisfies BenchRow;
    return [
      alone(
        "one value recorded",
        "us",
        () => per(100_000, () => observed.observe(5, { route: "a" })),
      ),
      alone(
        "recording of one request",
        "us",
        () => per(20_000, () => recordRequest(request, { status: 200, duration: 5 })),
      ),
      alone(
        "one request through handle(), recording included",
        "us",
        () => per(10_000, () => handler(request)),
      ),
      alone("a flush of 20 series", "ms", () => milliseconds(() => flush(one), 50)),
      alone("a flush of 1,000 series", "ms", () => {
        const many = Array.from(
          { length: 1000 },
          (_, i) => sample("many_0", { i: `${i}` }, now, 5),
        );
        return milliseconds(() => flush(many), 5);
      }),
      alone(
        "a million observations, stored",
        "bytes/value",
        () => Promise.resolve(grown / observations),
      ),
      {
        name: "p50, p95 and p99 of a million observations",
        unit: "ms",
        better: "lower",
        ours: () => milliseconds(() => postgres`select * from bulwark.read_metric('million')`, 10),
        peers: [{
          name: "percentile_cont over the raw values",
          rounds: 2,
          run: () =>
            milliseconds(() =>
              postgres`select percentile_cont(array[0.5, 0.95, 0.99]) within group (order by value)
                from public.raw`
            ),
        }],
      },
      alone("a scrape of 10,000 series", "ms", () => milliseconds(scraped, 3)),
    ];
  },
});
