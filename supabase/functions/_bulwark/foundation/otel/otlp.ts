/**
 * OTLP 1.x in JSON: ids are hexadecimal, 64-bit integers are strings, enumerations are numbers.
 */
import type { Sample } from "../../metrics/histogram.ts";
import type { AttributeValue, EndedSpan } from "./span.ts";

type Resource = Record<string, string>;

const scope = { name: "bulwark" };

/** A body for `/v1/traces`. */
export function tracesBody(spans: readonly EndedSpan[], resource: Resource): string {
  const list = spans.map((span) => ({
    traceId: span.traceId,
    spanId: span.spanId,
    ...span.parentId ? { parentSpanId: span.parentId } : {},
    flags: span.flags,
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: nanoseconds(span.start),
    endTimeUnixNano: nanoseconds(span.end),
    attributes: attributes(span.attributes),
    status: span.failed ? { code: 2 } : {},
  }));
  return JSON.stringify({
    resourceSpans: [{
      resource: { attributes: attributes(resource) },
      scopeSpans: [{ scope, spans: list }],
    }],
  });
}

/**
 * A body for `/v1/metrics`: what was recorded since the last one (delta temporality). Histograms are
 * exponential ones of scale 6, as they are recorded, or of a lower scale if they are wide.
 */
export function metricsBody(
  samples: readonly Sample[],
  resource: Resource,
  since: number,
  now: number,
): string {
  const times = { startTimeUnixNano: nanoseconds(since), timeUnixNano: nanoseconds(now) };
  const metrics = [...Map.groupBy(samples, ({ metric }) => metric)].map(([name, group]) => {
    const { kind, unit, description } = group[0]!;
    const points = group.map((sample) => ({
      attributes: attributes(sample.labels),
      ...times,
      ...kind === "histogram"
        ? histogramPoint(sample)
        : { asDouble: kind === "counter" ? sample.total : sample.last ?? 0 },
    }));
    const data = kind === "histogram"
      ? { exponentialHistogram: { dataPoints: points, aggregationTemporality: 1 } }
      : kind === "counter"
      ? { sum: { dataPoints: points, aggregationTemporality: 1, isMonotonic: true } }
      : { gauge: { dataPoints: points } };
    return { name: `bulwark.${name}`, description, unit: units[unit] ?? unit, ...data };
  });
  return JSON.stringify({
    resourceMetrics: [{
      resource: { attributes: attributes(resource) },
      scopeMetrics: [{ scope, metrics }],
    }],
  });
}

/** Units by UCUM. */
const units: Record<string, string> = {
  milliseconds: "ms",
  seconds: "s",
  percent: "%",
  bytes: "By",
};

/** The most buckets of a point, as SDKs have by default. */
const mostBuckets = 160;

function histogramPoint({ count, total, minimum, maximum, zeros, indexes, counts }: Sample) {
  let scale = 6;
  // Our bucket i holds values up to 2^(i/64), that of OTLP begins there.
  let buckets = indexes.map((index, i): [number, number] => [index - 1, counts[i]!]);
  const width = () => buckets.length ? buckets.at(-1)![0] - buckets[0]![0] + 1 : 0;
  while (width() > mostBuckets) {
    scale--;
    const merged = new Map<number, number>();
    for (const [index, n] of buckets) merged.set(index >> 1, (merged.get(index >> 1) ?? 0) + n);
    buckets = [...merged];
  }
  const offset = buckets[0]?.[0] ?? 0;
  const dense = Array.from({ length: width() }, () => 0);
  for (const [index, n] of buckets) dense[index - offset] = n;
  return {
    count: String(count),
    sum: total,
    ...minimum === null || maximum === null ? {} : { min: minimum, max: maximum },
    scale,
    zeroCount: String(zeros),
    positive: { offset, bucketCounts: dense.map(String) },
  };
}

function attributes(values: Readonly<Record<string, AttributeValue>>) {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value },
  }));
}

/** Milliseconds since 1970 as nanoseconds, which a double cannot hold. */
function nanoseconds(milliseconds: number): string {
  const whole = Math.floor(milliseconds);
  const rest = Math.floor((milliseconds - whole) * 1e6);
  return `${BigInt(whole) * 1_000_000n + BigInt(rest)}`;
}
