/**
 * Exponential histogram of scale 6 as defined by OpenTelemetry: bucket i holds values above
 * 2^((i-1)/64) up to 2^(i/64). Histograms merge by adding counts. The value that represents a bucket
 * is at most 0.55 % off.
 */
export const bucketsPerOctave = 64;

/** The largest relative error of a percentile: (base - 1) / (base + 1) with base 2^(1/64). */
export const relativeError = (2 ** (1 / 64) - 1) / (2 ** (1 / 64) + 1);

const furthest = 32_000;

/** Totals are clamped to it, so that adding two never overflows, here and in the database. */
const largestTotal = 1e300;

/** The bucket of a value above 0; null if it is so small that it counts as 0. */
export function bucketOf(value: number): number | null {
  const index = Math.ceil(Math.log2(value) * bucketsPerOctave);
  return index < -furthest ? null : Math.min(index, furthest);
}

/** The values of one series within one minute, as `record_metrics` takes them. */
export interface Sample {
  metric: string;
  kind: Kind;
  unit: string;
  description: string;
  labels: Labels;
  /** Seconds since 1970. */
  at: number;
  count: number;
  total: number;
  minimum: number | null;
  maximum: number | null;
  last: number | null;
  zeros: number;
  indexes: number[];
  counts: number[];
}

export type Kind = "counter" | "gauge" | "histogram";

/** Labels of a series: few names, each with few values. */
export type Labels = Readonly<Record<string, string>>;

/** Collects the values of one series within one minute. */
export class Point {
  count = 0;
  total = 0;
  minimum: number | null = null;
  maximum: number | null = null;
  last: number | null = null;
  zeros = 0;
  readonly buckets = new Map<number, number>();

  /** Adds to the total. */
  add(amount: number): void {
    this.count++;
    this.total = Math.max(-largestTotal, Math.min(this.total + amount, largestTotal));
  }

  /** Records a value. */
  observe(value: number): void {
    this.add(value);
    this.last = value;
    if (this.minimum === null || value < this.minimum) this.minimum = value;
    if (this.maximum === null || value > this.maximum) this.maximum = value;
    const bucket = value > 0 ? bucketOf(value) : null;
    if (bucket !== null) this.buckets.set(bucket, (this.buckets.get(bucket) ?? 0) + 1);
    // A negative level is in no bucket, so its minute has no percentiles.
    else if (value >= 0) this.zeros++;
  }

  /** The point with its buckets in rising order. */
  sample(): Omit<Sample, "metric" | "kind" | "unit" | "description" | "labels" | "at"> {
    const { count, total, minimum, maximum, last, zeros } = this;
    const buckets = [...this.buckets].sort(([a], [b]) => a - b);
    const indexes = buckets.map(([index]) => index);
    const counts = buckets.map(([, n]) => n);
    return { count, total, minimum, maximum, last, zeros, indexes, counts };
  }
}
