import type { Kind, Labels } from "./histogram.ts";

/** One metric with everything it ever counted, as `scrape_metrics` gives it. */
export interface ScrapedMetric {
  name: string;
  kind: Kind;
  unit: string;
  description: string;
  series: ScrapedSeries[];
}

/** Labels, count, total, last, zeros, octaves, and how many values each octave holds. */
export type ScrapedSeries = [
  labels: Labels,
  count: number,
  total: number,
  last: number | null,
  zeros: number,
  octaves: number[],
  counts: number[],
];

/** The text formats: Prometheus 0.0.4 and OpenMetrics 1.0.0. */
export type Format = "prometheus" | "openmetrics";

export const contentTypes: Record<Format, string> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** A unit as Prometheus wants it: its base unit, what to divide by, and the octaves that it shows. */
interface Unit {
  suffix: string;
  divisor: number;
  /** A histogram shows bounds from 2^first to 2^last in the metric's own unit. */
  first: number;
  last: number;
}

const units: Record<string, Unit> = {
  milliseconds: { suffix: "seconds", divisor: 1000, first: 0, last: 16 },
  seconds: { suffix: "seconds", divisor: 1, first: -10, last: 12 },
  percent: { suffix: "ratio", divisor: 100, first: 0, last: 7 },
  bytes: { suffix: "bytes", divisor: 1, first: 6, last: 30 },
};
const plain: Unit = { suffix: "", divisor: 1, first: -4, last: 20 };

/** What a metric is called outside. */
export function exposedName({ name, kind, unit }: Pick<ScrapedMetric, "name" | "kind" | "unit">) {
  const { suffix } = units[unit] ?? { ...plain, suffix: unit };
  const bare = `bulwark_${kind === "counter" ? name.replace(/_total$/, "") : name}`;
  return suffix && !bare.endsWith(`_${suffix}`) ? `${bare}_${suffix}` : bare;
}

/**
 * Metrics as text. The bounds of a histogram are powers of two in its own unit, which the stored
 * buckets end at as well, so that its counts are exact.
 */
export function toText(scraped: readonly ScrapedMetric[], format: Format): string {
  const parts: string[] = [];
  const taken = new Set<string>();
  for (const metric of scraped) {
    const { kind, description, series } = metric;
    const unit = units[metric.unit] ?? { ...plain, suffix: metric.unit };
    const family = unique(exposedName(metric), unit.suffix, taken);
    const named = kind === "counter" ? `${family}_total` : family;
    const title = format === "openmetrics" ? family : named;
    parts.push(`# HELP ${title} ${escapeHelp(description || metric.name, format)}\n`);
    parts.push(`# TYPE ${title} ${kind}\n`);
    if (format === "openmetrics" && unit.suffix) parts.push(`# UNIT ${title} ${unit.suffix}\n`);
    const write = kind === "histogram"
      ? histogramWriter(named, unit, format)
      : ([labels, , total, last]: ScrapedSeries) => {
        const value = kind === "counter" ? total : last ?? 0;
        return `${named}${braced(labelsOf(labels))} ${number(value / unit.divisor)}\n`;
      };
    for (const one of series) parts.push(write(one));
  }
  if (format === "openmetrics") parts.push("# EOF\n");
  return parts.join("");
}

/**
 * A name that no other family has, nor a sample of one: with a name twice a scraper takes nothing at
 * all. The unit stays at the end, where OpenMetrics wants it.
 */
function unique(family: string, suffix: string, taken: Set<string>): string {
  const end = suffix && family.endsWith(`_${suffix}`) ? `_${suffix}` : "";
  const stem = family.slice(0, family.length - end.length);
  const samples = ["", "_total", "_bucket", "_sum", "_count"];
  let name = family;
  for (let n = 2; samples.some((sample) => taken.has(name + sample)); n++) {
    name = `${stem}_${n}${end}`;
  }
  for (const sample of samples) taken.add(name + sample);
  return name;
}

/** Writes one series after the other: what all of them have is made once. */
function histogramWriter(
  name: string,
  { divisor, first, last }: Unit,
  format: Format,
): (series: ScrapedSeries) => string {
  const bounds: string[] = [];
  for (let octave = first; octave <= last; octave++) {
    const bound = 2 ** octave / divisor;
    bounds.push(`le="${format === "openmetrics" ? canonical(bound) : number(bound)}"} `);
  }
  return ([labels, count, total, , zeros, octaves, counts]) => {
    const text = labelsOf(labels);
    const start = `${name}_bucket{${text && `${text},`}`;
    let lines = "";
    let upto = zeros;
    let next = 0;
    for (let i = 0; i < bounds.length; i++) {
      while (next < octaves.length && octaves[next]! <= first + i) upto += counts[next++]!;
      lines += `${start}${bounds[i]}${upto}\n`;
    }
    return `${lines}${start}le="+Inf"} ${count}\n` +
      `${name}_sum${braced(text)} ${number(total / divisor)}\n` +
      `${name}_count${braced(text)} ${count}\n`;
  };
}

function labelsOf(labels: Labels): string {
  return Object.entries(labels).map(([name, value]) => `${name}="${escapeValue(value)}"`).join(",");
}

function braced(labels: string): string {
  return labels && `{${labels}}`;
}

function escapeValue(value: string): string {
  if (!/[\\"\n]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function escapeHelp(text: string, format: Format): string {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return format === "openmetrics" ? escaped.replaceAll('"', '\\"') : escaped;
}

function number(value: number): string {
  return String(value);
}

/** A bound as OpenMetrics writes it: as a float, with an exponent of two digits from a million on. */
function canonical(value: number): string {
  const exponent = Math.floor(Math.log10(value));
  if (exponent >= -5 && exponent < 6) {
    return Number.isInteger(value) ? `${value}.0` : String(value);
  }
  const [mantissa, power = "0"] = value.toExponential().split("e");
  const digits = power.replace(/^[+-]/, "").padStart(2, "0");
  return `${mantissa}e${power.startsWith("-") ? "-" : "+"}${digits}`;
}
