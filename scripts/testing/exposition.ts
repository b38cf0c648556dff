/** A strict reader of what scrapers are given: it takes nothing that the format does not allow. */

/** One line with a value. */
export interface ReadSample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** One metric with its samples. */
export interface Family {
  type: string;
  help: string;
  unit: string;
  samples: ReadSample[];
}

/**
 * Reads Prometheus text 0.0.4 or OpenMetrics text 1.0.0.
 * @throws Error naming the first line that is not as it must be
 */
export function readText(text: string, format: "prometheus" | "openmetrics"): Map<string, Family> {
  const fail = (line: string, why: string) => {
    throw new Error(`${why}: ${line}`);
  };
  if (!text.endsWith("\n")) fail(text.slice(-40), "the last line has no end");
  const lines = text.slice(0, -1).split("\n");
  if (format === "openmetrics" && lines.pop() !== "# EOF") fail(text.slice(-40), "no # EOF");
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let current: [string, Family] | undefined;
  for (const line of lines) {
    const meta = /^# (HELP|TYPE|UNIT) ([a-z_][a-z0-9_]*) (.+)$/.exec(line);
    if (meta) {
      const [, kind, name = "", value = ""] = meta;
      if (current?.[0] !== name) {
        if (families.has(name)) fail(line, "a family comes twice");
        current = [name, { type: "", help: "", unit: "", samples: [] }];
        families.set(...current);
      }
      if (current[1].samples.length > 0) fail(line, "metadata after samples");
      if (kind === "HELP" && /(?:^|[^\\])(?:\\\\)*\\[^\\n"]/.test(value)) fail(line, "bad escape");
      if (kind === "TYPE" && !/^(counter|gauge|histogram)$/.test(value)) fail(line, "bad type");
      if (kind === "UNIT" && (format === "prometheus" || !name.endsWith(`_${value}`))) {
        fail(line, "bad unit");
      }
      current[1][kind === "HELP" ? "help" : kind === "TYPE" ? "type" : "unit"] = value;
      continue;
    }
    const match =
      /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Infinity|NaN))$/
        .exec(line);
    if (!match || !current) {
      fail(line, "neither metadata nor a sample");
      continue;
    }
    const [, name = "", inside, value = ""] = match;
    const [family, { type, samples }] = current;
    const suffixes = type === "histogram"
      ? ["_bucket", "_sum", "_count"]
      : type === "counter" && format === "openmetrics"
      ? ["_total"]
      : [""];
    if (!suffixes.some((suffix) => name === family + suffix)) fail(line, `not of ${family}`);
    if (type === "counter" && !name.endsWith("_total")) fail(line, "a counter ends in _total");
    const labels = readLabels(inside ?? "", () => fail(line, "bad labels"));
    const key = `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
    if (seen.has(key)) fail(line, "comes twice");
    seen.add(key);
    if (
      format === "openmetrics" && labels.le &&
      !/^(\+Inf|\d+\.\d+|\d(\.\d+)?e[+-]\d\d)$/.test(labels.le)
    ) {
      fail(line, "le is not canonical");
    }
    if (!Number.isFinite(Number(value))) fail(line, "not a number");
    samples.push({ name, labels, value: Number(value) });
  }
  for (const [name, family] of families) checkHistogram(name, family, fail);
  return families;
}

function readLabels(text: string, fail: () => void): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest) {
    const match = /^([a-z_][a-z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/.exec(rest);
    if (!match || match[1]! in labels) {
      fail();
      break;
    }
    labels[match[1]!] = match[2]!.replace(/\\(.)/g, (_, c) => c === "n" ? "\n" : c);
    rest = rest.slice(match[0].length);
  }
  return labels;
}

/** Bounds and counts rise, end in +Inf, and agree with the count. */
function checkHistogram(
  name: string,
  { type, samples }: Family,
  fail: (line: string, why: string) => void,
): void {
  if (type !== "histogram") return;
  const groups = Map.groupBy(samples, ({ labels: { le: _, ...rest } }) => JSON.stringify(rest));
  for (const [labels, group] of groups) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels: { le } }) => le === "+Inf" ? Infinity : Number(le));
    const rising = (values: number[], strictly: boolean) =>
      values.every((value, i) =>
        i === 0 || value > values[i - 1]! || !strictly && value === values[i - 1]
      );
    const count = group.find((sample) => sample.name === `${name}_count`)?.value;
    if (!rising(bounds, true) || bounds.at(-1) !== Infinity) fail(name + labels, "bad bounds");
    if (!rising(buckets.map(({ value }) => value), false)) fail(name + labels, "counts fall");
    if (buckets.at(-1)?.value !== count) fail(name + labels, "+Inf is not the count");
    if (!group.some((sample) => sample.name === `${name}_sum`)) fail(name + labels, "no sum");
  }
}
