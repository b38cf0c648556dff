import type { Kind, Labels } from "./histogram.ts";

/** A metric with its cumulative series, as `scrape_metrics` returns it. */
export interface ScrapedMetric {
  name: string;
  kind: Kind;
  unit: string;
  description: string;
  series: ScrapedSeries[];
}

/** A series; `octaves` and `counts` are the non-empty buckets of scale 0. */
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

/** A Prometheus base unit, and the divisor that converts to it. */
interface Unit {
  suffix: string;
  divisor: number;
  /** Bounds of a histogram run from 2^first to 2^last in the metric's own unit. */
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

/** The name of a metric in Prometheus. */
export function exposedName({ name, kind, unit }: Pick<ScrapedMetric, "name" | "kind" | "unit">) {
  const { suffix } = units[unit] ?? { ...plain, suffix: unit };
  const bare = `bulwark_${kind === "counter" ? name.replace(/_total$/, "") : name}`;
  return suffix && !bare.endsWith(`_${suffix}`) ? `${bare}_${suffix}` : bare;
}

/**
 * Metrics as text. The bounds of a histogram are powers of two in its own unit. Stored buckets end at
 * the same bounds, so counts are exact.
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
 * A family name that collides with no other family or sample: a scraper rejects a text with
 * duplicates. The unit stays at the end, as OpenMetrics requires.
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

/** Writes series of one histogram; the texts of its bounds are made once. */
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

/** A bound in OpenMetrics' canonical form: a float, from a million on with a two-digit exponent. */
function canonical(value: number): string {
  const exponent = Math.floor(Math.log10(value));
  if (exponent >= -5 && exponent < 6) {
    return Number.isInteger(value) ? `${value}.0` : String(value);
  }
  const [mantissa, power = "0"] = value.toExponential().split("e");
  const digits = power.replace(/^[+-]/, "").padStart(2, "0");
  return `${mantissa}e${power.startsWith("-") ? "-" : "+"}${digits}`;
}
