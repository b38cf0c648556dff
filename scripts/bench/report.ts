import {
  type BenchPeer,
  type BenchRow,
  type Measurement,
  median,
  ratio,
  ratios,
} from "./harness.ts";

/** A median with the least and the most of all rounds. */
export interface Spread {
  median: number;
  least: number;
  most: number;
}

/** The result file's rows; `ratio` says how many times better ours is than the peer. */
export interface ReportRow {
  name: string;
  unit: string;
  ours: Spread;
  peer: Spread | null;
  peer_name: string | null;
  ratio: Spread | null;
  aim: BenchPeer["aim"] | null;
  /** Of a row without a peer: the value to reach. */
  own_aim?: NonNullable<BenchRow["aim"]> & { better: BenchRow["better"] };
  curve?: NonNullable<BenchRow["curve"]>;
  rounds: number;
}

/** A result file. */
export interface Report {
  bench: string;
  command: string;
  date: string;
  machine: { os: string; cpu: string; cores: number; memory_gib: number; load: number };
  rows: ReportRow[];
}

/** One row for every peer; a quantity without a peer still has its row. */
export function reportRows(measurements: Measurement[]): ReportRow[] {
  return measurements.flatMap(({ row, ours, peers }): ReportRow[] => {
    const own = {
      ...{ name: row.name, unit: row.unit, ours: spreadOf(ours), aim: null },
      ...row.aim && { own_aim: { ...row.aim, better: row.better } },
      ...row.curve && { curve: row.curve },
    };
    if (peers.length === 0) {
      return [{ ...own, peer: null, peer_name: null, ratio: null, rounds: ours.length }];
    }
    return peers.map(({ name, values, aim = null }) => ({
      ...own,
      peer: spreadOf(values),
      peer_name: name,
      ratio: spreadOf(ratios(row.better, ours, values)),
      aim,
      rounds: values.length,
    }));
  });
}

function spreadOf(values: number[]): Spread {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** A table of medians with the spread in parentheses. */
export function reportTable(measurements: Measurement[]): string {
  const lines = [[
    "",
    "unit",
    "ours (min..max)",
    "peer",
    "peer (min..max)",
    "times better",
    "rounds",
  ]];
  for (const { row, ours, peers } of measurements) {
    const own = [row.name, row.unit, spread(ours)];
    if (peers.length === 0) lines.push([...own, "", "", "", String(ours.length)]);
    for (const { name, values } of peers) {
      const times = number(ratio(row.better, ours, values));
      lines.push([...own, name, spread(values), times, String(values.length)]);
    }
  }
  const widths = lines[0]!.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? "").length))
  );
  const text = lines.map((line) =>
    line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()
  );
  return [text[0], widths.map((width) => "-".repeat(width)).join("  "), ...text.slice(1)].join(
    "\n",
  );
}

function spread(values: number[]): string {
  return shown(spreadOf(values));
}

/** A median with the spread in parentheses. */
export function shown({ median, least, most }: Spread): string {
  return `${number(median)} (${number(least)}..${number(most)})`;
}

/** Three significant digits, thousands separated. */
export function number(value: number): string {
  return value.toLocaleString("en-US", {
    maximumSignificantDigits: Math.max(3, Math.trunc(value).toString().length),
  });
}
