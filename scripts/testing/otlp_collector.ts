/**
 * A collector of OTLP over HTTP that takes JSON and nothing that its schema does not allow: ids of the
 * right length, 64-bit integers as strings, known kinds.
 */
import { z } from "zod";

const uint = z.string().regex(/^\d{1,20}$/);
const attribute = z.strictObject({
  key: z.string().min(1),
  value: z.union([
    z.strictObject({ stringValue: z.string() }),
    z.strictObject({ intValue: z.string().regex(/^-?\d+$/) }),
  ]),
});
const attributes = z.array(attribute);
const resource = z.strictObject({ attributes });
const scope = z.strictObject({ name: z.string() });

const span = z.strictObject({
  traceId: z.string().regex(/^(?!0{32})[0-9a-f]{32}$/),
  spanId: z.string().regex(/^(?!0{16})[0-9a-f]{16}$/),
  parentSpanId: z.string().regex(/^(?!0{16})[0-9a-f]{16}$/).optional(),
  flags: z.number().int().min(0).max(0xffff_ffff),
  name: z.string().min(1),
  kind: z.number().int().min(1).max(5),
  startTimeUnixNano: uint,
  endTimeUnixNano: uint,
  attributes,
  status: z.strictObject({ code: z.number().int().min(0).max(2).optional() }),
}).refine((span) => BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano));

const traces = z.strictObject({
  resourceSpans: z.array(z.strictObject({
    resource,
    scopeSpans: z.array(z.strictObject({ scope, spans: z.array(span).min(1) })),
  })),
});

const times = { attributes, startTimeUnixNano: uint, timeUnixNano: uint };
const number = z.strictObject({ ...times, asDouble: z.number() });
const histogram = z.strictObject({
  ...times,
  count: uint,
  sum: z.number(),
  min: z.number().optional(),
  max: z.number().optional(),
  scale: z.number().int().min(-10).max(20),
  zeroCount: uint,
  positive: z.strictObject({ offset: z.number().int(), bucketCounts: z.array(uint).max(160) }),
}).refine(({ count, zeroCount, positive }) =>
  positive.bucketCounts.reduce((sum, n) => sum + Number(n), Number(zeroCount)) === Number(count)
);
const metric = z.strictObject({
  name: z.string().min(1),
  description: z.string(),
  unit: z.string(),
  gauge: z.strictObject({ dataPoints: z.array(number).min(1) }).optional(),
  sum: z.strictObject({
    dataPoints: z.array(number).min(1),
    aggregationTemporality: z.literal(1),
    isMonotonic: z.boolean(),
  }).optional(),
  exponentialHistogram: z.strictObject({
    dataPoints: z.array(histogram).min(1),
    aggregationTemporality: z.literal(1),
  }).optional(),
}).refine(({ gauge, sum, exponentialHistogram }) =>
  [gauge, sum, exponentialHistogram].filter(Boolean).length === 1
);
const metrics = z.strictObject({
  resourceMetrics: z.array(z.strictObject({
    resource,
    scopeMetrics: z.array(z.strictObject({ scope, metrics: z.array(metric).min(1) })),
  })),
});

/** A span as it was received, with plain attributes. */
export interface ReceivedSpan extends Omit<z.output<typeof span>, "attributes"> {
  attributes: Record<string, string>;
  resource: Record<string, string>;
}

/** A running collector, and what it got. */
export interface Collector {
  url: string;
  spans: ReceivedSpan[];
  metrics: z.output<typeof metric>[];
  /** All that it was sent, headers included. */
  requests: { headers: Headers; body: string }[];
  /** Why it refused a request; empty if it took all. */
  refused: string[];
  /** The status of its answers; null: it does not answer. */
  status: number | null;
  stop(): Promise<void>;
}

/** Starts a collector on this machine. */
export function startCollector(): Collector {
  const stopped = new AbortController();
  const server = Deno.serve({ port: 0, onListen: () => {} }, async (request) => {
    const body = await request.text();
    collector.requests.push({ headers: request.headers, body });
    if (collector.status === null) {
      return await new Promise((resolve) =>
        stopped.signal.addEventListener("abort", () => resolve(new Response(null, { status: 503 })))
      );
    }
    if (collector.status !== 200) return new Response(null, { status: collector.status });
    try {
      if (request.method !== "POST") throw new Error(request.method);
      if (request.headers.get("content-type") !== "application/json") throw new Error("type");
      const { pathname } = new URL(request.url);
      if (pathname === "/v1/traces") takeTraces(body);
      else if (pathname === "/v1/metrics") takeMetrics(body);
      else throw new Error(pathname);
    } catch (thrown) {
      collector.refused.push(String(thrown));
      return new Response(null, { status: 400 });
    }
    return Response.json({ partialSuccess: {} });
  });
  const takeTraces = (body: string) => {
    for (const { resource, scopeSpans } of traces.parse(JSON.parse(body)).resourceSpans) {
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        collector.spans.push({
          ...span,
          attributes: plain(span.attributes),
          resource: plain(resource.attributes),
        });
      }
    }
  };
  const takeMetrics = (body: string) => {
    for (const { scopeMetrics } of metrics.parse(JSON.parse(body)).resourceMetrics) {
      collector.metrics.push(...scopeMetrics.flatMap(({ metrics }) => metrics));
    }
  };
  const collector: Collector = {
    url: `http://127.0.0.1:${server.addr.port}`,
    spans: [],
    metrics: [],
    requests: [],
    refused: [],
    status: 200,
    async stop() {
      stopped.abort();
      await server.shutdown();
    },
  };
  return collector;
}

function plain(list: z.output<typeof attributes>): Record<string, string> {
  return Object.fromEntries(
    list.map(({ key, value }) => [
      key,
      "stringValue" in value ? value.stringValue : value.intValue,
    ]),
  );
}
