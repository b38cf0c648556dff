/** OpenTelemetry: what is sent to a collector, and that no request waits for it. */
import assert from "node:assert/strict";
import { startCollector } from "../../../scripts/testing/otlp_collector.ts";
import {
  type OtelEnv,
  readOtelEnv,
} from "../../../supabase/functions/_bulwark/foundation/otel/env.ts";
import { openTelemetry } from "../../../supabase/functions/_bulwark/foundation/otel/mod.ts";
import { otlpExporter } from "../../../supabase/functions/_bulwark/foundation/otel/exporter.ts";
import { Metrics } from "../../../supabase/functions/_bulwark/metrics/registry.ts";

const silent = () => {};

function read(variables: Record<string, string>, log: (line: string) => void = silent) {
  return readOtelEnv((name) => variables[name], log);
}

/** The environment for a collector, with short waits. */
function envFor(url: string, more: Record<string, string> = {}): OtelEnv {
  const env = read({
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_BSP_SCHEDULE_DELAY: "20",
    OTEL_EXPORTER_OTLP_TIMEOUT: "2000",
    ...more,
  });
  assert.ok(env);
  return env;
}

async function until(condition: () => boolean): Promise<void> {
  for (const start = Date.now(); !condition();) {
    assert.ok(Date.now() - start < 5000, "never");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const trace = "0af7651916cd43dd8448eb211c80319c";
const parent = "b7ad6b7169203331";
const correlation = "0af76519-16cd-43dd-8448-eb211c80319c";
const ask = (headers: HeadersInit = {}, path = "/bulwark-rbac?permission=secret") =>
  new Request(`https://project.test${path}`, { headers });

Deno.test("FND-T01: without an endpoint, or disabled, nothing is recorded", () => {
  assert.equal(read({}), null);
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "https://c.test" };
  assert.equal(read({ ...endpoint, OTEL_SDK_DISABLED: "True" }), null);
  const none = { OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none" };
  assert.equal(read({ ...endpoint, ...none }), null);
  const lines: string[] = [];
  const log = (line: string) => lines.push(line);
  assert.equal(read({ ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }, log), null);
  assert.equal(read({ OTEL_EXPORTER_OTLP_ENDPOINT: "file:///secret" }, log), null);
  assert.equal(lines.length, 3);
  assert.ok(!lines.join().includes("secret"));
  const through = fetch;
  assert.equal(openTelemetry(null).fetch("rpc/x", through), through, "calls are as they were");
});

Deno.test("FND-T02: the standard variables are read as their specification says", () => {
  const env = read({
    OTEL_EXPORTER_OTLP_ENDPOINT: "https://c.test/otlp/",
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "https://m.test/only",
    OTEL_EXPORTER_OTLP_HEADERS: "api-key=a%20b, x-team = t ,broken",
    OTEL_EXPORTER_OTLP_METRICS_HEADERS: "api-key=m",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=staging,service.name=no",
    OTEL_SERVICE_NAME: "shop",
    OTEL_TRACES_SAMPLER: "traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.25",
    OTEL_EXPORTER_OTLP_TIMEOUT: "3000",
    OTEL_BSP_MAX_QUEUE_SIZE: "-4",
  });
  assert.deepEqual(env, {
    tracesUrl: "https://c.test/otlp/v1/traces",
    metricsUrl: "https://m.test/only",
    tracesHeaders: { "api-key": "a b", "x-team": "t" },
    metricsHeaders: { "api-key": "m", "x-team": "t" },
    timeoutMs: 3000,
    delayMs: 2000,
    maxQueue: 2048,
    resource: { "deployment.environment.name": "staging", "service.name": "shop" },
    sampler: { ratio: 0.25, followsParent: false },
  });
});

Deno.test("FND-T03: a request and its calls are spans of the caller's trace, without secrets", async () => {
  const collector = startCollector();
  const api = Deno.serve({ port: 0, onListen: () => {} }, (request) => {
    seen.push(request.headers);
    return new Response(null, { status: 204 });
  });
  const seen: Headers[] = [];
  const env = envFor(collector.url, { OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20c" });
  const telemetry = openTelemetry(env);
  const id = crypto.randomUUID();
  const secret = "sb_secret_0123456789";
  const request = ask(
    { traceparent: `00-${trace}-${parent}-01`, authorization: `Bearer ${secret}` },
    `/bulwark-webhooks/${id}/rosebud7/${secret}?token=${secret}`,
  );
  const traced = telemetry.request(request, correlation);
  await traced.run(async () => {
    const call = telemetry.fetch("rpc/my_permissions", fetch);
    await call(`http://127.0.0.1:${api.addr.port}/rest/v1/rpc/my_permissions`, {
      method: "POST",
      body: secret,
      headers: { "x-other": "kept", traceparent: "00-0-0-00" },
    });
  });
  traced.end(409, "CONFLICT");
  traced.end(500);
  await until(() => collector.spans.length === 2);
  await api.shutdown();
  await collector.stop();
  assert.deepEqual(collector.refused, []);
  const [client, server] = collector.spans;
  assert.deepEqual(
    [server?.traceId, server?.parentSpanId, server?.kind, server?.name],
    [trace, parent, 2, "GET /bulwark-webhooks/*/*/*"],
  );
  assert.deepEqual(server?.attributes, {
    "http.request.method": "GET",
    "http.route": "/bulwark-webhooks/*/*/*",
    "faas.name": "bulwark-webhooks",
    "http.response.status_code": "409",
    "error.type": "CONFLICT",
  });
  assert.deepEqual(server?.status, {}, "a refusal is no failure of the server");
  assert.deepEqual(
    [client?.traceId, client?.parentSpanId, client?.kind, client?.name],
    [trace, server?.spanId, 3, "rpc/my_permissions"],
  );
  assert.equal(seen[0]?.get("traceparent"), `00-${trace}-${client?.spanId}-01`);
  assert.equal(seen[0]?.get("x-other"), "kept");
  assert.equal(server?.resource["service.name"], "bulwark");
  const [sent] = collector.requests;
  assert.equal(sent?.headers.get("authorization"), "Bearer c");
  const all = collector.requests.map(({ body }) => body).join();
  assert.ok(![secret, id, "rosebud7", "Bearer"].some((text) => all.includes(text)), all);
});

Deno.test("FND-T04: without a caller's trace the correlation id is the trace id", async () => {
  const collector = startCollector();
  const telemetry = openTelemetry(envFor(collector.url));
  telemetry.request(ask(), correlation).end(503, "DATA_API_UNAVAILABLE");
  telemetry.request(ask({ traceparent: "00-xyz" }), "not-a-uuid").end(200);
  telemetry.request(ask({}, "/bulwark-rbac/made-up"), correlation).end(404, "NOT_FOUND");
  const missing: typeof fetch = () => Promise.resolve(new Response(null, { status: 404 }));
  await telemetry.request(ask(), correlation)
    .run(() => telemetry.fetch("made_up", missing)("https://project.test"));
  await until(() => collector.spans.length === 4);
  await collector.stop();
  const unknown = collector.spans[3];
  assert.deepEqual(
    [unknown?.name, unknown?.attributes["db.operation.name"]],
    ["unknown", "unknown"],
    "nor is a table that does not exist",
  );
  assert.equal(collector.spans[0]?.traceId, trace);
  assert.deepEqual(collector.spans[0]?.status, { code: 2 });
  assert.equal(collector.spans[0]?.parentSpanId, undefined);
  assert.match(collector.spans[1]?.traceId ?? "", /^[0-9a-f]{32}$/);
  const madeUp = collector.spans[2];
  assert.deepEqual(
    [madeUp?.name, madeUp?.attributes["http.route"]],
    ["GET /bulwark-rbac/*", "/bulwark-rbac/*"],
    "a path that does not exist is no name of a span",
  );
});

Deno.test("FND-T05: a trace that its caller does not sample is passed on and not recorded", async () => {
  const collector = startCollector();
  const telemetry = openTelemetry(envFor(collector.url));
  let passed: string | null = null;
  const through: typeof fetch = (_input, init) => {
    passed = new Headers((init as { headers?: HeadersInit }).headers).get("traceparent");
    return Promise.resolve(new Response());
  };
  const traced = telemetry.request(ask({ traceparent: `00-${trace}-${parent}-00` }), correlation);
  await traced.run(() => telemetry.fetch("rpc/x", through)("https://project.test"));
  traced.end(200);
  telemetry.request(ask(), crypto.randomUUID()).end(200);
  await until(() => collector.spans.length > 0);
  await collector.stop();
  assert.match(passed ?? "", new RegExp(`^00-${trace}-[0-9a-f]{16}-00$`));
  assert.equal(collector.spans.length, 1);
  assert.notEqual(collector.spans[0]?.traceId, trace);
});

Deno.test("FND-T06: a share of the traces is chosen by their ids", async () => {
  const collector = startCollector();
  const sampled = { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" };
  const telemetry = openTelemetry(envFor(collector.url, sampled));
  const ids = Array.from({ length: 400 }, () => crypto.randomUUID());
  for (const id of [...ids, ...ids]) telemetry.request(ask(), id).end(200);
  await until(() => collector.spans.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await collector.stop();
  const kept = new Set(collector.spans.map(({ traceId }) => traceId));
  assert.ok(kept.size > 50 && kept.size < 150, `${kept.size} of 400`);
  assert.equal(collector.spans.length, 2 * kept.size, "each is chosen always or never");
});

Deno.test("FND-T07: a collector that does not answer costs a request nothing and memory little", async () => {
  const collector = startCollector();
  collector.status = null;
  const lines: string[] = [];
  const env = envFor(collector.url, {
    OTEL_BSP_MAX_QUEUE_SIZE: "100",
    OTEL_EXPORTER_OTLP_TIMEOUT: "200",
  });
  const telemetry = openTelemetry(env, otlpExporter(env, fetch, (line) => lines.push(line)));
  const start = performance.now();
  for (let i = 0; i < 5000; i++) telemetry.request(ask(), correlation).end(200);
  assert.ok(performance.now() - start < 2000, "5,000 requests are not held up");
  await until(() => lines.length > 0);
  const sent = JSON.parse(collector.requests[0]?.body ?? "").resourceSpans[0].scopeSpans[0].spans;
  assert.equal(sent.length, 100, "further spans were dropped");
  assert.deepEqual(lines, ["The OTLP collector takes no data: it does not answer"]);
  await collector.stop();
});

Deno.test("FND-T08: a batch that cannot be taken now is sent once more, one that is wrong is not", async () => {
  const collector = startCollector();
  const lines: string[] = [];
  const env = envFor(collector.url);
  const telemetry = openTelemetry(env, otlpExporter(env, fetch, (line) => lines.push(line)));
  collector.status = 503;
  telemetry.request(ask(), correlation).end(200);
  await until(() => collector.requests.length === 1);
  collector.status = 200;
  await until(() => collector.spans.length === 1);
  collector.status = 400;
  telemetry.request(ask(), correlation).end(200);
  await until(() => lines.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(collector.requests.length, 3);
  collector.status = 302;
  telemetry.request(ask(), correlation).end(200);
  await until(() => collector.requests.length === 4);
  await collector.stop();
  assert.equal(lines.length, 1, "the log has the first failure in a row");
});

Deno.test("FND-T09: metrics are exported as they are recorded, wide histograms with fewer buckets", async () => {
  const collector = startCollector();
  const telemetry = openTelemetry(envFor(collector.url));
  const metrics = new Metrics();
  const time = metrics.histogram("api_response_time", { unit: "milliseconds" });
  for (const value of [0, 1, 2, 4, 8]) time.observe(value, { function: "rbac" });
  metrics.counter("api_errors").add(3, { code: "CONFLICT" });
  metrics.gauge("memory_usage", { unit: "percent" }).set(40);
  for (let value = 1e-6; value < 1e9; value *= 1.3) metrics.histogram("wide").observe(value);
  telemetry.metrics(metrics.drain());
  telemetry.metrics([]);
  await until(() => collector.metrics.length === 4);
  await collector.stop();
  assert.deepEqual(collector.refused, []);
  assert.equal(collector.requests.length, 1);
  const named = Object.fromEntries(collector.metrics.map((metric) => [metric.name, metric]));
  const [point] = named["bulwark.api_response_time"]?.exponentialHistogram?.dataPoints ?? [];
  assert.equal(named["bulwark.api_response_time"]?.unit, "ms");
  const { count, sum, min, max, zeroCount } = point!;
  assert.deepEqual([count, sum, min, max, zeroCount], ["5", 15, 0, 8, "1"]);
  // Bucket i of OTLP holds values above base^i, up to base^(i + 1).
  const base = 2 ** 2 ** -point!.scale;
  const bounds = point!.positive.bucketCounts.flatMap((n, i) => {
    const index = point!.positive.offset + i;
    return n === "0" ? [] : [[base ** index, base ** (index + 1)]];
  });
  assert.equal(bounds.length, 4);
  for (const [i, value] of [1, 2, 4, 8].entries()) {
    const [above = NaN, upTo = NaN] = bounds[i] ?? [];
    assert.ok(above < value && value <= upTo * (1 + 1e-9), `${above} ${value} ${upTo}`);
  }
  assert.equal(named["bulwark.api_errors"]?.sum?.dataPoints[0]?.asDouble, 3);
  assert.equal(named["bulwark.memory_usage"]?.gauge?.dataPoints[0]?.asDouble, 40);
  assert.ok((named["bulwark.wide"]?.exponentialHistogram?.dataPoints[0]?.scale ?? 9) < 6);
});
