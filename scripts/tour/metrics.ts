import postgres from "postgres";
import { Failure } from "../stack/failure.ts";
import { SharedLevel } from "../../supabase/functions/_bulwark/cache/shared.ts";
import { Cache, cacheKey } from "../../supabase/functions/_bulwark/cache/mod.ts";
import { Point } from "../../supabase/functions/_bulwark/metrics/histogram.ts";
import { openRedis } from "../../supabase/functions/_bulwark/foundation/redis/client.ts";
import { redisServer, startRedis } from "../testing/redis.ts";
import { type Place, title } from "./guide.ts";

/** Cold and warm reads, percentiles, and an alert until its recovery. */
export async function metrics(place: Place): Promise<void> {
  await cache();
  const sql = postgres(place.superuserUrl, { max: 1, onnotice: () => {} });
  try {
    await percentiles(sql);
    await scrape(place);
    await alert(sql);
  } finally {
    await sql.end();
  }
}

async function cache(): Promise<void> {
  title(`A cold and a warm read${redisServer ? ", and an isolate that starts cold" : ""}`);
  const server = redisServer ? await startRedis() : null;
  const isolates: Cache[] = [];
  const isolate = () => {
    const env = { redisUrl: server?.url ?? null, upstashUrl: null, upstashToken: null };
    const redis = openRedis(env, { timeoutMs: 1000 });
    const shared = redis && new SharedLevel(redis, { prefix: "tour", leaseTime: 5000 });
    const cache = new Cache(shared, {
      memory: { maxEntries: 100, maxSize: 100_000 },
      memorySeconds: 5,
      loadWait: 2000,
    });
    isolates.push(cache);
    return cache;
  };
  const key = cacheKey("organization", "tour", crypto.randomUUID());
  let loads = 0;
  const read = async (cache: Cache, says: string, expected: number) => {
    const start = performance.now();
    await cache.getOrSet(key, async () => {
      loads++;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return { name: "Acme" };
    }, { ttl: 60, tags: ["acme"] });
    const took = performance.now() - start;
    if (loads !== expected) throw new Failure("TOUR", `${says}: ${loads} loads, not ${expected}`);
    console.log(`  ok       ${says}: ${took < 1 ? took.toFixed(3) : took.toFixed(0)} ms`);
  };
  try {
    const one = isolate();
    await read(one, "cold, loaded from what takes 100 ms", 1);
    await read(one, "warm, from the isolate's memory", 1);
    if (server) await read(isolate(), "another isolate, from Redis", 1);
    await one.invalidateTags("acme");
    await read(one, "after the tag was invalidated, loaded again", 2);
  } finally {
    for (const cache of isolates) cache.close();
    await server?.stop();
  }
}

async function percentiles(sql: postgres.Sql): Promise<void> {
  title("p95 before and after a release that makes one request in five slow");
  const metric = `tour_${crypto.randomUUID().slice(0, 8)}`;
  const measureAll = async (value: (i: number) => number) => {
    const point = new Point();
    for (let i = 0; i < 1000; i++) point.observe(value(i));
    await record(sql, metric, "histogram", point);
    const [row] = await sql`select p50, p95, p99, count::int from bulwark.read_metric(${metric})`;
    return row as { p50: number; p95: number; p99: number; count: number };
  };
  const show = ({ p50, p95, p99, count }: Awaited<ReturnType<typeof measureAll>>) =>
    `p50 ${p50.toFixed(0)}, p95 ${p95.toFixed(0)}, p99 ${p99.toFixed(0)} ms of ${count}`;
  const before = await measureAll((i) => 20 + i / 50);
  near("before", before.p95, 39);
  console.log(`  ok       before: ${show(before)}`);
  const after = await measureAll((i) => i % 5 === 0 ? 900 : 20 + i / 50);
  near("after", after.p95, 900);
  console.log(`  ok       after: ${show(after)}`);
}

/** The stated error is 0.55 %. */
function near(says: string, found: number, exact: number): void {
  if (Math.abs(found / exact - 1) <= 0.01) return;
  throw new Failure("TOUR", `p95 ${says}: expected ${exact}, got ${found}`);
}

async function scrape({ url, publishableKey, metricsToken }: Place): Promise<void> {
  title("A Prometheus scrapes; nobody else does");
  const ask = (token: string) =>
    fetch(`${url}/functions/v1/bulwark-metrics`, {
      headers: { apikey: publishableKey, authorization: `Bearer ${token}` },
    });
  const refused = await ask(`${metricsToken}x`);
  const { code } = await refused.json();
  if (code !== "UNAUTHORIZED") {
    throw new Failure("TOUR", `a wrong token: ${refused.status} ${code}`);
  }
  console.log(`  refused  a wrong token: ${code}`);
  const answer = await ask(metricsToken);
  const text = await answer.text();
  const line = text.split("\n").find((line) => line.startsWith("bulwark_alert_level{"));
  if (!answer.ok || !line) throw new Failure("TOUR", `the scrape: ${answer.status} ${text}`);
  console.log(`  ok       ${text.split("\n").length - 1} lines, such as ${line}`);
}

async function alert(sql: postgres.Sql): Promise<void> {
  title("A threshold is crossed, and nobody has to look: the scheduler evaluates");
  const name = `tour_${crypto.randomUUID().slice(0, 8)}`;
  await sql`
    select bulwark.set_alert_rule(${name}, ${name}, 'last', 100, 500, time_window => '10 minutes',
      lasting => '0', recovering => '0', cool_down => '0')`;
  try {
    const level = async (value: number) => {
      const point = new Point();
      point.observe(value);
      await record(sql, name, "gauge", point);
    };
    await level(40);
    await until(sql, name, "ok", null);
    console.log("  ok       40 jobs wait: ok");
    await level(250);
    const raised = await until(sql, name, "warning", true);
    console.log(
      `  ok       250 jobs wait: warning, and ${raised.type} is raised (${raised.severity})`,
    );
    await level(30);
    const resolved = await until(sql, name, "ok", false);
    console.log(
      `  ok       30 jobs wait: ok again, and ${resolved.type} is resolved: ${resolved.note}`,
    );
  } finally {
    await sql`delete from bulwark_private.alert_rules where name = ${name}`;
  }
}

/** Stores one measurement, as a function does. */
export async function record(sql: postgres.Sql, metric: string, kind: string, point: Point) {
  const sample = { metric, kind, unit: "", labels: {}, at: Date.now() / 1000, ...point.sample() };
  await sql`select bulwark.record_metrics(${crypto.randomUUID()}, ${sql.json([sample] as never)})`;
}

/** Waits until an alert has a state, and its event is open or not. */
async function until(sql: postgres.Sql, rule: string, state: string, open: boolean | null) {
  for (let tries = 0; tries < 120; tries++) {
    const [alert] =
      await sql`select state::text from bulwark_private.alert_states where rule = ${rule}`;
    const [event] = await sql`
      select event_type as type, severity::text, resolved_at is null as open, resolution_note as note
      from bulwark.security_events where subject = ${rule} order by raised_at desc limit 1`;
    if (alert?.state === state && (open === null ? !event : event?.open === open)) {
      return (event ?? {}) as { type: string; severity: string; note: string };
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Failure("TOUR", `the alert ${rule} did not become ${state}`);
}
