/** Metrics and alerts on a running stack: concurrent flushes, and HTTP. */
import assert from "node:assert/strict";
import { inRepository } from "../../scripts/stack/paths.ts";
import { Point, type Sample } from "../../supabase/functions/_bulwark/metrics/histogram.ts";
import { readText } from "../../scripts/testing/exposition.ts";
import {
  callFunction,
  connect,
  createOrganization,
  metricsToken,
  ok,
  publishableKey,
  secretKey,
  service,
  signUp,
  superuserUrl,
} from "../support.ts";
import postgres from "postgres";

function sample(metric: string, labels: Record<string, string>, values: number[]): Sample {
  const point = new Point();
  for (const value of values) point.observe(value);
  const at = Date.now() / 1000;
  const what = { metric, kind: "histogram" as const, unit: "milliseconds", description: "test" };
  return { ...what, labels, at, ...point.sample() };
}

async function get(query: string, headers: Record<string, string> = {}): Promise<Response> {
  return await callFunction(`metrics${query}`, { headers });
}

const scraper = { authorization: `Bearer ${metricsToken}` };

/** Waits for a condition, up to half a minute. */
async function eventually<T>(what: string, task: () => Promise<T | null>): Promise<T> {
  for (const start = Date.now(); Date.now() - start < 30_000;) {
    const result = await task();
    if (result !== null) return result;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`never: ${what}`);
}

async function superAdmin() {
  const person = await signUp("super");
  ok(await service().from("roles").select("id"));
  const admin = postgres(superuserUrl, { max: 1 });
  await admin`select bulwark.grant_role(${person.id}, 'super_admin')`;
  await admin.end();
  return person;
}

Deno.test("MET-E01: thirty concurrent flushes lose nothing and do not deadlock", async () => {
  const sql = connect(30);
  try {
    const series = Array.from(
      { length: 40 },
      (_, i) => ({ route: `r${i}`, metric: `e01_${i % 3}` }),
    );
    const flush = async (isolate: number) => {
      // Each isolate sends the series in another order; half of them are new.
      const mixed = series.toSorted((a, b) =>
        (a.route.charCodeAt(1) * (isolate + 7)) % 13 - (b.route.charCodeAt(1) * (isolate + 7)) % 13
      );
      for (let round = 0; round < 5; round++) {
        const samples = mixed.map(({ route, metric }) =>
          sample(metric, { route }, [isolate + 1, round + 1, 0])
        );
        await sql`select bulwark.record_metrics(${crypto.randomUUID()}, ${
          sql.json(samples as never)
        })`;
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, (_, i) => flush(i)));
    assert.deepEqual(outcomes.filter(({ status }) => status === "rejected"), []);
    const [counted] = await sql`
      select sum(s.count)::int as count, sum(s.total)::int as total, sum(s.zeros)::int as zeros,
        (select sum(n)::int from bulwark_private.metric_series o, unnest(o.octave_counts) n
          where o.metric like 'e01%') as octaves
      from bulwark_private.metric_series s where s.metric like 'e01%'`;
    const flushed = 30 * 5 * 40;
    const total = 40 * 5 * (30 * 31 / 2) + 40 * 30 * 15;
    const expected = { count: flushed * 3, total, zeros: flushed, octaves: flushed * 2 };
    assert.deepEqual({ ...counted }, expected);
    const [points] = await sql`
      select sum(p.count)::int as count,
        sum((select sum(n) from unnest(p.counts) n))::int as buckets
      from bulwark_private.metric_points p
      join bulwark_private.metric_series s on s.id = p.series_id and s.metric like 'e01%'`;
    assert.deepEqual({ ...points }, { count: flushed * 3, buckets: flushed * 2 });
  } finally {
    await sql.end();
  }
});

Deno.test("MET-E02: thirty concurrent flushes with new labels keep to the maximum and lose nothing", async () => {
  const sql = connect(30);
  try {
    await sql`insert into bulwark_private.metrics (name, kind, max_series) values ('e02', 'histogram', 50)`;
    await Promise.all(Array.from({ length: 30 }, async (_, isolate) => {
      const samples = Array.from(
        { length: 20 },
        (_, i) => sample("e02", { user: `${isolate}-${i}` }, [1]),
      );
      await sql`select bulwark.record_metrics(${crypto.randomUUID()}, ${
        sql.json(samples as never)
      })`;
    }));
    const [row] = await sql`
      select count(*)::int as series, sum(count)::int as count from bulwark_private.metric_series
      where metric = 'e02'`;
    assert.deepEqual({ ...row }, { series: 51, count: 600 });
  } finally {
    await sql.end();
  }
});

Deno.test("MET-E03: eight concurrent evaluators raise one event and resolve it once", async () => {
  const sql = connect(8);
  try {
    await sql`select bulwark.set_alert_rule('e03', 'e03', 'p95', 100, lasting => '0',
      recovering => '0', cool_down => '0')`;
    const flush = (value: number) =>
      sql`select bulwark.record_metrics(${crypto.randomUUID()},
        ${sql.json([sample("e03", {}, Array(50).fill(value))] as never)})`;
    const evaluate = () =>
      Promise.all(Array.from({ length: 8 }, () => sql`select bulwark.evaluate_alerts()`));
    await flush(500);
    await evaluate();
    const events = () =>
      sql`select event_type, occurrences::int, resolved_at is null as open
        from bulwark.security_events where subject = 'e03'`;
    assert.deepEqual([...await events()].map((row) => ({ ...row })), [
      { event_type: "alert_warning", occurrences: 1, open: true },
    ]);
    await sql`delete from bulwark_private.metric_points`;
    await flush(5);
    await evaluate();
    await evaluate();
    assert.deepEqual((await events()).map(({ open }) => open), [false]);
  } finally {
    await sql.end();
  }
});

Deno.test("MET-E04: a scraper with its token reads what requests left behind, in both formats", async () => {
  const admin = await signUp("admin");
  const organization_id = await createOrganization(admin);
  for (let i = 0; i < 5; i++) {
    const answer = await callFunction("rbac", {
      token: admin.token,
      body: { permissions: ["audit:read"], organization_id },
    });
    assert.equal(answer.status, 200);
    await answer.body?.cancel();
  }
  const families = await eventually("the requests are in the metrics", async () => {
    const answer = await get("", scraper);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
    const read = readText(await answer.text(), "prometheus");
    const count = read.get("bulwark_api_response_time_seconds")?.samples.find(({ name, labels }) =>
      name.endsWith("_count") && labels.function === "bulwark-rbac" && labels.status === "2xx"
    );
    return (count?.value ?? 0) >= 5 ? read : null;
  });
  const queries = families.get("bulwark_database_query_time_seconds");
  assert.ok(
    queries?.samples.some(({ labels }) => labels.operation === "rpc/my_permissions"),
    "what functions ask the database is timed by itself",
  );
  assert.ok(!queries?.samples.some(({ labels }) => labels.operation === "rpc/record_metrics"));
  assert.ok((families.get("bulwark_memory_usage_ratio")?.samples[0]?.value ?? 0) > 0);
  assert.deepEqual(
    families.get("bulwark_cache_requests_total")?.samples.every(({ labels }) =>
      labels.namespace && labels.outcome
    ),
    true,
  );
  const open = await get("", { ...scraper, accept: "application/openmetrics-text" });
  assert.match(open.headers.get("content-type") ?? "", /^application\/openmetrics-text/);
  assert.ok(readText(await open.text(), "openmetrics").has("bulwark_alert_level"));
});

Deno.test("MET-E05: the metrics are closed to everybody else", async () => {
  const admin = await signUp("admin");
  await createOrganization(admin);
  const cases: [Record<string, string>, number, string][] = [
    [{}, 401, "UNAUTHORIZED"],
    [{ authorization: `Bearer ${publishableKey}` }, 401, "UNAUTHORIZED"],
    [{ authorization: `Bearer ${metricsToken}x` }, 401, "UNAUTHORIZED"],
    [{ authorization: `Bearer ${admin.token.slice(0, -3)}AAA` }, 401, "UNAUTHORIZED"],
    [{ authorization: `Bearer ${admin.token}` }, 403, "RBAC_PERMISSION_DENIED"],
  ];
  for (const [headers, status, code] of cases) {
    const answer = await get("?format=json", headers);
    const body = await answer.json();
    assert.deepEqual([answer.status, body.code], [status, code], JSON.stringify(headers));
  }
  for (const query of ["?format=xml", "?range=9y", "?format=json&format=json", "?x=1"]) {
    const answer = await get(query, scraper);
    assert.equal(answer.status, 400, query);
    await answer.body?.cancel();
  }
});

Deno.test("MET-E10: the secret key opens the metrics; what is near it does not", async () => {
  const open = await get("", { authorization: `Bearer ${secretKey}` });
  assert.equal(open.status, 200);
  await open.body?.cancel();
  for (const near of [secretKey.slice(0, -1), `${secretKey}x`, secretKey.toUpperCase()]) {
    const closed = await get("", { authorization: `Bearer ${near}` });
    assert.equal(closed.status, 401, "a key that is near");
    await closed.body?.cancel();
  }
});

Deno.test("MET-E06: a super_admin gets everything the console shows in one answer", async () => {
  const { token } = await superAdmin();
  const headers = { authorization: `Bearer ${token}`, accept: "application/json" };
  const overview = await eventually("the overview has the requests", async () => {
    const answer = await get("?range=1h", headers);
    assert.equal(answer.status, 200, answer.status === 200 ? "" : await answer.text());
    const body = await answer.json();
    const found = body.metrics.find(({ name }: { name: string }) => name === "api_response_time");
    return found && body.cache ? body : null;
  });
  const time = overview.metrics.find(({ name }: { name: string }) => name === "api_response_time");
  const { count, minimum, maximum, mean, p50, p95, p99 } = time.summary;
  assert.ok(count > 0 && minimum <= mean && mean <= maximum);
  assert.ok(p50 <= p95 && p95 <= p99);
  // Percentiles come from a histogram, within two percent.
  assert.ok(minimum * 0.98 <= p50 && p99 <= maximum * 1.02, JSON.stringify(time.summary));
  assert.ok(time.points.length >= 1);
  assert.deepEqual(
    ["api_response_time", "cpu_usage", "database_query_time", "memory_usage"]
      .filter((name) => !overview.alerts.some((alert: { name: string }) => alert.name === name)),
    [],
  );
  assert.ok(overview.queries.length > 0);
  assert.ok(overview.cache.hit_rate === null || overview.cache.hit_rate >= 0);
});

Deno.test("MET-E07: every metric that the dashboard and the rules name is one that is emitted", async () => {
  // Metrics that only errors produce are recorded here directly.
  const { cacheObserver, metrics } = await import(
    "../../supabase/functions/_bulwark/metrics/mod.ts"
  );
  cacheObserver.unavailable();
  const samples = metrics.drain();
  ok(
    await service().rpc("record_metrics", {
      batch: crypto.randomUUID(),
      samples: samples as never,
    }),
  );
  await eventually("all names are there", async () => {
    const refused = await get("?format=json");
    await refused.body?.cancel();
    const emitted = readText(await (await get("", scraper)).text(), "prometheus");
    const names = new Set(
      [...emitted.values()].flatMap(({ samples }) => samples.map(({ name }) => name)),
    );
    const missing: string[] = [];
    for (const file of ["grafana/bulwark.json", "prometheus/bulwark.rules.yml"]) {
      const text = await Deno.readTextFile(new URL(`../../deploy/${file}`, import.meta.url));
      const used = new Set(text.match(/\bbulwark_[a-z_]+[a-z]\b/g));
      assert.ok(used.size >= 4, file);
      for (const name of used) {
        if (name !== "bulwark_metrics_token" && !names.has(name)) missing.push(name);
      }
    }
    return missing.length === 0 ? true : null;
  });
});

const promtool = await new Deno.Command("sh", { args: ["-c", "command -v promtool"] }).output();

Deno.test({
  name: "MET-E08: promtool takes the rules, and every expression of the dashboard" +
    (promtool.success ? "" : " (needs promtool; Debian: prometheus)"),
  ignore: !promtool.success,
  async fn() {
    const rules = inRepository("deploy", "prometheus", "bulwark.rules.yml");
    const { success, stderr } = await new Deno.Command("promtool", {
      args: ["check", "rules", "--lint=all", "--lint-fatal", rules],
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const expressions: string[] = [];
    JSON.parse(
      await Deno.readTextFile(new URL("../../deploy/grafana/bulwark.json", import.meta.url)),
      (name, value) => {
        if (name === "expr") expressions.push(value);
        return value;
      },
    );
    assert.ok(expressions.length > 5);
    const scratch = await Deno.makeTempFile({ suffix: ".yml" });
    const groups = [{
      name: "dashboard",
      rules: expressions.map((expr, i) => ({
        record: `dashboard:${i}`,
        // Variables that Grafana replaces.
        expr: expr.replaceAll(/\$(__rate_interval|__interval|__range)/g, "5m")
          .replaceAll(/\$\{?\w+(:\w+)?\}?/g, "x"),
      })),
    }];
    await Deno.writeTextFile(scratch, JSON.stringify({ groups }));
    const checked = await new Deno.Command("promtool", { args: ["check", "rules", scratch] })
      .output();
    await Deno.remove(scratch);
    assert.ok(checked.success, new TextDecoder().decode(checked.stderr));
  },
});

Deno.test("MET-E09: the scheduler evaluates alerts by itself", async () => {
  await eventually("a state was evaluated", async () => {
    const alerts = ok(await service().rpc("list_alerts"));
    return alerts.some(({ evaluated_at }) => evaluated_at) ? true : null;
  });
});
