/**
 * `docs/benchmarks.md`, made of the result files in `docs/benchmarks/`, one for each benchmark:
 * nobody copies a figure by hand. A test compares the page with the files.
 */
import { inRepository } from "../stack/paths.ts";
import { growthChart } from "./charts.ts";
import { number, type Report, type ReportRow, shown } from "./report.ts";

/** The result file of a benchmark. */
export const resultFile = (bench: string): string =>
  inRepository("docs", "benchmarks", `${bench}.json`);

const page = inRepository("docs", "benchmarks.md");

const chartFile = (bench: string): string => inRepository("docs", "benchmarks", `${bench}.svg`);

/** Writes the page and its charts from the result files. */
export async function writePage(): Promise<void> {
  for (const [file, content] of written(await results())) await Deno.writeTextFile(file, content);
}

/** Whether the page and its charts are what the result files say. */
export async function pageIsCurrent(): Promise<boolean> {
  for (const [file, content] of written(await results())) {
    if (await Deno.readTextFile(file) !== content) return false;
  }
  return true;
}

function written(reports: Report[]): [file: string, content: string][] {
  const charts = reports.flatMap((report): [string, string][] => {
    const chart = growthChart(report);
    return chart === null ? [] : [[chartFile(report.bench), chart]];
  });
  return [[page, benchmarksPage(reports)], ...charts];
}

async function results(): Promise<Report[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(inRepository("docs", "benchmarks"))) {
    if (name.endsWith(".json")) names.push(name.slice(0, -5));
  }
  return await Promise.all(
    names.sort().map(async (name) => JSON.parse(await Deno.readTextFile(resultFile(name)))),
  );
}

/** The page as Markdown. */
export function benchmarksPage(reports: Report[]): string {
  return [
    introduction,
    ...reports.map(section),
    missed(reports),
  ].filter((part) => part !== "").join("\n\n") + "\n";
}

const introduction = `# Benchmarks

Bulwark side by side with others and with what cannot be beaten (a floor), measured in the same run and
in turn. This page is made by \`npm run bench\` from the files in [benchmarks](benchmarks); \`npm run
bench -- <name> --record\` measures one benchmark and makes the page again.

A figure is the median of all rounds, with the least and the most of them. **Ratio** says how many times
better ours is, taken within each round. Where the ratios lie on both sides of 1, the row shows no
difference. Clocks swing with what else the machine does; rows in instructions, counted by
\`valgrind --tool=callgrind\`, hardly do.

Peers from npm are development dependencies. supa_audit's SQL file is in its repository: \`git clone
https://github.com/supabase/supa_audit\`, then \`--supa-audit supa_audit/supa_audit--0.3.1.sql\`.`;

function section(report: Report): string {
  const { bench, command, date, machine, rows } = report;
  const { cpu, cores, memory_gib, os, load } = machine;
  const on = `${cores} cores (${cpu}), ${memory_gib} GiB, ${os}`;
  return [
    `## ${bench.replaceAll("_", " ")}`,
    `\`${command}\`, ${date}, ${on}; load ${number(load)} at the start.`,
    ...growthChart(report) === null
      ? []
      : [`![Curves of ${bench.replaceAll("_", " ")}](benchmarks/${bench}.svg)`],
    [
      "| | Unit | Ours | Compared with | Theirs | Ratio | |",
      "| --- | --- | ---: | --- | ---: | ---: | --- |",
      ...rows.map(line),
    ].join("\n"),
  ].join("\n\n");
}

function line({ name, unit, ours, peer, peer_name, ratio, aim, own_aim }: ReportRow): string {
  const cells = [name, unit, shown(ours), peer_name ?? "", peer ? shown(peer) : ""];
  const judged = ratio === null
    ? own_aim ? ownGoal(ours, own_aim) : ""
    : [verdict(ratio), aim ? goal(ratio, aim) : ""]
      .filter((part) => part !== "").join("; ");
  const escaped = [...cells, ratio ? shown(ratio) : "", judged]
    .map((cell) => cell.replaceAll("|", "\\|"));
  return `| ${escaped.join(" | ")} |`;
}

function verdict({ least, most }: NonNullable<ReportRow["ratio"]>): string {
  return least > 1 ? "better" : most < 1 ? "worse" : "no difference";
}

type Aim = NonNullable<ReportRow["aim"]>;

function goal(ratio: NonNullable<ReportRow["ratio"]>, aim: Aim): string {
  return `aim ${number(aim.ratio)} ${ratio.median >= aim.ratio ? "reached" : "missed"}`;
}

type OwnAim = NonNullable<ReportRow["own_aim"]>;

function isReached({ median }: ReportRow["ours"], { value, better }: OwnAim): boolean {
  return better === "lower" ? median <= value : median >= value;
}

function ownGoal(ours: ReportRow["ours"], aim: OwnAim): string {
  return `aim ${number(aim.value)} ${isReached(ours, aim) ? "reached" : "missed"}`;
}

/** The aims that were missed, by where the time goes. */
function missed(reports: Report[]): string {
  const parts = reports.flatMap(({ bench, rows }) => {
    const byCause = Map.groupBy(rows.flatMap(missOf), ({ cause }) => cause);
    if (byCause.size === 0) return [];
    const name = bench.replaceAll("_", " ");
    return [
      `### Missed: ${name}`,
      ...[...byCause].flatMap(([cause, misses]) => [
        ...cause === "" ? [] : [cause],
        misses.map(({ text }) => `- ${text}`).join("\n"),
      ]),
    ];
  });
  return parts.length === 0 ? "" : ["## Missed aims", ...parts].join("\n\n");
}

function missOf(
  { name, unit, ours, peer_name, ratio, aim, own_aim }: ReportRow,
): { text: string; cause: string }[] {
  if (own_aim && !isReached(ours, own_aim)) {
    const { value, cause = "" } = own_aim;
    return [{ text: `${name}: ${number(ours.median)} ${unit}, aim ${number(value)}`, cause }];
  }
  if (!aim || ratio === null || ratio.median >= aim.ratio) return [];
  const { ratio: wanted, cause = "" } = aim;
  const text = `${name}: ${number(ratio.median)} of ${peer_name}, aim ${number(wanted)}`;
  return [{ text, cause }];
}
