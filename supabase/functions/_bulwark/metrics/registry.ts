import { type Kind, type Labels, Point, type Sample } from "./histogram.ts";

/** Properties of a metric. */
export interface MetricOptions {
  /** `milliseconds`, `seconds`, `bytes`, `percent` or empty. */
  unit?: string;
  description?: string;
}

export interface Counter {
  /** Adds an amount that is not negative, 1 by default. */
  add(amount?: number, labels?: Labels): void;
}

export interface Gauge {
  set(level: number, labels?: Labels): void;
}

export interface Histogram {
  /** Records a value that is not negative. */
  observe(value: number, labels?: Labels): void;
  /** Starts a timer; the returned function stops it and records the milliseconds. */
  start(labels?: Labels): (more?: Labels) => void;
}

interface Metric {
  name: string;
  kind: Kind;
  unit: string;
  description: string;
  /** By labels as JSON, then by minute. */
  series: Map<string, { labels: Labels; points: Map<number, Point> }>;
}

const validName = /^[a-z][a-z0-9_]{0,62}$/;
const longestLabel = 128;
const overflow: Labels = { overflow: "true" };

/**
 * Values that an isolate has recorded and not flushed yet. Recording never throws and takes about a
 * microsecond. Invalid values (not finite, or negative in a counter or histogram) are dropped and
 * counted in `metrics_dropped`. Beyond `maxSeries` combinations of labels between two flushes, values
 * go to the series `overflow`.
 */
export class Metrics {
  readonly #metrics = new Map<string, Metric>();
  readonly #maxSeries: number;
  readonly #now: () => number;
  #dropped = 0;

  constructor(
    { maxSeries = 200, now = Date.now }: { maxSeries?: number; now?: () => number } = {},
  ) {
    this.#maxSeries = maxSeries;
    this.#now = now;
  }

  counter(name: string, options: MetricOptions = {}): Counter {
    const metric = this.#define(name, "counter", options);
    return {
      add: (amount = 1, labels = {}) => {
        if (Number.isFinite(amount) && amount >= 0) this.#point(metric, labels).add(amount);
        else this.#dropped++;
      },
    };
  }

  gauge(name: string, options: MetricOptions = {}): Gauge {
    const metric = this.#define(name, "gauge", options);
    return {
      set: (level, labels = {}) => {
        if (Number.isFinite(level)) this.#point(metric, labels).observe(level);
        else this.#dropped++;
      },
    };
  }

  histogram(name: string, options: MetricOptions = {}): Histogram {
    const metric = this.#define(name, "histogram", options);
    const observe = (value: number, labels: Labels = {}) => {
      if (Number.isFinite(value) && value >= 0) this.#point(metric, labels).observe(value);
      else this.#dropped++;
    };
    return {
      observe,
      start: (labels = {}) => {
        const start = performance.now();
        return (more = {}) => observe(performance.now() - start, { ...labels, ...more });
      },
    };
  }

  /** Whether there is nothing to flush. */
  get isEmpty(): boolean {
    if (this.#dropped > 0) return false;
    for (const { series } of this.#metrics.values()) if (series.size > 0) return false;
    return true;
  }

  /** Counts recorded values that were lost. */
  drop(count: number): void {
    this.#dropped += count;
  }

  /** Returns everything recorded so far and removes it. */
  drain(): Sample[] {
    if (this.#dropped > 0) {
      const dropped = this.#dropped;
      this.#dropped = 0;
      this.counter("metrics_dropped", { description: "Values that could not be recorded" })
        .add(dropped);
    }
    const samples: Sample[] = [];
    for (const { name: metric, kind, unit, description, series } of this.#metrics.values()) {
      for (const { labels, points } of series.values()) {
        for (const [at, point] of points) {
          samples.push({ metric, kind, unit, description, labels, at, ...point.sample() });
        }
      }
      series.clear();
    }
    return samples;
  }

  #define(name: string, kind: Kind, { unit = "", description = "" }: MetricOptions): Metric {
    const known = this.#metrics.get(name);
    if (known && known.kind === kind) return known;
    if (known || !validName.test(name)) {
      throw new TypeError(`${name} is ${known ? `a ${known.kind}` : "no name"} of a metric`);
    }
    const metric: Metric = { name, kind, unit, description, series: new Map() };
    this.#metrics.set(name, metric);
    return metric;
  }

  #point({ series }: Metric, labels: Labels): Point {
    let key = JSON.stringify(labels);
    let found = series.get(key);
    if (!found) {
      if (series.size >= this.#maxSeries) {
        labels = overflow;
        key = JSON.stringify(overflow);
        found = series.get(key);
      }
      if (!found) series.set(key, found = { labels: clean(labels), points: new Map() });
    }
    const minute = Math.floor(this.#now() / 60_000) * 60;
    let point = found.points.get(minute);
    if (!point) found.points.set(minute, point = new Point());
    return point;
  }
}

/** Text that jsonb accepts: cut, without lone surrogates and NUL. */
function storable(text: string): string {
  return text.slice(0, longestLabel).toWellFormed().replaceAll("\0", "\ufffd");
}

/** Labels that the database accepts: at most 8, with valid names and shortened values. */
function clean(labels: Labels): Labels {
  return Object.fromEntries(
    Object.entries(labels)
      .filter(([name]) => validName.test(name) && name !== "le" && name !== "quantile")
      .slice(0, 8)
      .map(([name, value]) => [name, storable(String(value))]),
  );
}
