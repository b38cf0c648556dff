/**
 * `npm run bench -- <name> [--json FILE] [--rounds N] [--only TEXT]`: measures one capability against
 * its peers on a database of its own, and prints medians with how many times better ours is; with
 * --only just the rows whose name has the text. A benchmark may have options of its own.
 */
import { cpus } from "node:os";
import { pathToFileURL } from "node:url";
import { benchDatabase } from "./bench/database.ts";
import { type Bench, measure } from "./bench/harness.ts";
import { reportRows, reportTable } from "./bench/report.ts";
import { parseArguments } from "./stack/arguments.ts";
import { exists } from "./stack/binaries.ts";
import { Failure } from "./stack/failure.ts";
import { main } from "./stack/main.ts";
import { inRepository } from "./stack/paths.ts";

await main(async (signal) => {
  const usage = "npm run bench -- <name> [--json <file>] [--rounds <number>] [--only <text>]";
  const [name] = Deno.args;
  if (!name) throw new Failure("USAGE", `usage: ${usage}`, 2);
  const definition = await load(name);
  const own = (definition.options ?? []).map((option) => [option, { type: "string" }] as const);
  const { values } = parseArguments({
    json: { type: "string" },
    rounds: { type: "string" },
    only: { type: "string" },
    ...Object.fromEntries(own),
  }, usage + (definition.options ?? []).map((option) => ` [--${option} <value>]`).join(""));
  const rounds = Number(values.rounds ?? 5);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Failure("USAGE", `usage: ${usage}`, 2);

  const { context, stop } = await benchDatabase(definition, values);
  signal.addEventListener("abort", () => void stop());
  try {
    const only = typeof values.only === "string" ? values.only : "";
    const rows = (await definition.setup(context)).filter(({ name }) => name.includes(only));
    const measurements = await measure(rows, rounds, context.log);
    console.log(reportTable(measurements));
    if (typeof values.json === "string") {
      const report = { bench: name, machine: machine(), rows: reportRows(measurements) };
      await Deno.writeTextFile(values.json, JSON.stringify(report, null, 2) + "\n");
    }
  } finally {
    await stop();
  }
});

async function load(name: string): Promise<Bench> {
  const file = inRepository("scripts", "bench", `${name.replaceAll("-", "_")}.ts`);
  if (!/^[a-z_-]+$/.test(name) || !exists(file)) {
    throw new Failure(
      "NO_BENCH",
      `Cannot find a benchmark named ${name}: no scripts/bench/${name}.ts`,
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
    deno: Deno.version.deno,
  };
}
