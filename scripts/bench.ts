/**
 * `npm run bench [-- <name>] [--json FILE] [--rounds N] [--only TEXT] [--record]`: measures one
 * capability against its peers on a database of its own, and prints medians with how many times
 * better ours is; with --only just the rows whose name has the text. `--record` keeps the result for
 * docs/benchmarks.md. Without a name it measures and records all. A benchmark may have options of
 * its own.
 */
import { cpus } from "node:os";
import { pathToFileURL } from "node:url";
import { benchDatabase } from "./bench/database.ts";
import { type Bench, measure } from "./bench/harness.ts";
import { resultFile, writePage } from "./bench/page.ts";
import { type Report, reportRows, reportTable } from "./bench/report.ts";
import { parseArguments, wrongUsage } from "./stack/arguments.ts";
import { exists } from "./stack/binaries.ts";
import { Failure } from "./stack/failure.ts";
import { main } from "./stack/main.ts";
import { inRepository, root } from "./stack/paths.ts";

const usage =
  "npm run bench [-- <name>] [--json <file>] [--rounds <number>] [--only <text>] [--record]";

await main(async (signal) => {
  const [name] = Deno.args;
  if (!name || name.startsWith("--")) return await all(signal);
  const definition = await load(name);
  const own = (definition.options ?? []).map((option) => [option, { type: "string" }] as const);
  const { values } = parseArguments(
    {
      json: { type: "string" },
      rounds: { type: "string" },
      only: { type: "string" },
      record: { type: "boolean" },
      ...Object.fromEntries(own),
    },
    usage + (definition.options ?? []).map((option) => ` [--${option} <value>]`).join(""),
    { positionals: 1 },
  );
  const rounds = Number(values.rounds ?? 5);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw wrongUsage("--rounds is a number of 1 or more", usage);
  }
  if (values.record && values.only !== undefined) {
    throw wrongUsage("--record keeps all rows, so --only cannot be with it", usage);
  }

  // Before the measurements, which would be lost.
  if (values.json !== undefined) await Deno.writeTextFile(`${values.json}`, "", { append: true });

  const [loadAtStart = 0] = Deno.loadavg();
  const { context, stop } = await benchDatabase(definition, values);
  signal.addEventListener("abort", () => void stop());
  try {
    const only = typeof values.only === "string" ? values.only : "";
    const rows = (await definition.setup(context)).filter(({ name }) => name.includes(only));
    const measurements = await measure(rows, rounds, context.log);
    console.log(reportTable(measurements));
    const bench = name.replaceAll("-", "_");
    const report: Report = {
      bench,
      command: ["npm run bench --", bench, ...Deno.args.slice(1)].join(" "),
      date: new Date().toISOString().slice(0, 10),
      machine: { ...machine(), load: loadAtStart },
      rows: reportRows(measurements),
    };
    const json = JSON.stringify(report, null, 2) + "\n";
    if (typeof values.json === "string") await Deno.writeTextFile(values.json, json);
    if (values.record) {
      await Deno.writeTextFile(resultFile(bench), json);
      await writePage();
    }
  } finally {
    await stop();
  }
});

/** Each benchmark in a process of its own, one after the other. */
async function all(signal: AbortSignal): Promise<number> {
  const { values } = parseArguments({ rounds: { type: "string" } }, usage);
  const rounds = values.rounds === undefined ? [] : ["--rounds", `${values.rounds}`];
  for await (const { name } of Deno.readDir(inRepository("scripts", "bench"))) {
    const file = inRepository("scripts", "bench", name);
    if (!name.endsWith(".ts") || !/export default bench\(/.test(await Deno.readTextFile(file))) {
      continue;
    }
    const { success } = await new Deno.Command("node", {
      args: ["scripts/run.mjs", "bench", name.slice(0, -3), "--record", ...rounds],
      cwd: root,
      signal,
    }).spawn().status;
    if (!success) return 1;
  }
  return 0;
}

async function load(name: string): Promise<Bench> {
  const file = inRepository("scripts", "bench", `${name.replaceAll("-", "_")}.ts`);
  if (!/^[a-z_-]+$/.test(name) || !exists(file)) {
    throw new Failure(
      "NO_BENCH",
      `Cannot find a benchmark named ${name}: no scripts/bench/${name}.ts`,
      2,
    );
  }
  const module: { default?: Bench } = await import(pathToFileURL(file).href);
  if (!module.default) throw new Failure("NO_BENCH", `${file} has no default export`);
  return module.default;
}

function machine() {
  const processors = cpus();
  return {
    os: `${Deno.build.os} ${Deno.osRelease()}`,
    cpu: processors[0]?.model ?? "unknown",
    cores: processors.length,
    memory_gib: Math.round(Deno.systemMemoryInfo().total / 2 ** 30),
  };
}
