import assert from "node:assert/strict";
import { processesOf, type Program } from "../testing/program.ts";
import { withPreparedStack } from "../testing/scratch_stack.ts";
import { inRepository, stackPaths } from "./paths.ts";
import { stopServer } from "./postmaster.ts";

const viaNode = (folder: string) => ({
  command: ["node", inRepository("scripts", "run.mjs"), "start"] as [string, ...string[]],
  env: { BULWARK_DATA_DIR: folder },
});

const viaNpm = (folder: string) => ({
  command: ["npm", "--silent", "--prefix", inRepository(), "start", "--"] as [string, ...string[]],
  env: { BULWARK_DATA_DIR: folder },
});

const ends = {
  "SIGTERM": (program: Program) => Promise.resolve(program.kill("SIGTERM")),
  "SIGKILL": (program: Program) => Promise.resolve(program.kill("SIGKILL")),
  "Ctrl-C": (program: Program) => program.killGroup("SIGINT"),
};

for (const [signal, end] of Object.entries(ends)) {
  for (const [name, via] of [["node", viaNode], ["npm", viaNpm]] as const) {
    Deno.test(`${signal} to ${name} leaves no process behind`, () =>
      withPreparedStack(async ({ folder, start }) => {
        const program = start(via(folder));
        assert.ok(await program.ready(), await program.output());
        assert.notDeepEqual(await processesOf(folder), []);
        await end(program);
        await program.exited;
        await untilGone(folder);
      }));
  }
}

Deno.test("a database that outlived everything is stopped, and its data kept, at the next start", () =>
  withPreparedStack(async ({ folder, start }) => {
    const first = start();
    assert.ok(await first.ready(), await first.output());
    const postmaster = await Deno.readTextFile(`${stackPaths(folder).database}/postmaster.pid`);
    const leftBehind = (await processesOf(folder)).filter((line) => !line.includes("postgres -D"));
    for (const line of leftBehind) Deno.kill(Number(line.split(" ")[0]), "SIGKILL");
    first.kill("SIGKILL");
    await first.exited;
    const left = await processesOf(folder);
    assert.ok(left.length > 0 && left.every((line) => line.includes("postgres -D")), left.join());

    const second = start();
    assert.ok(await second.ready(), await second.output());
    const next = await Deno.readTextFile(`${stackPaths(folder).database}/postmaster.pid`);
    assert.notEqual(next.split("\n")[0], postmaster.split("\n")[0]);
  }));

Deno.test("a stale process number is no reason to stop another server", async () => {
  const folder = await Deno.makeTempDir();
  const other = new Deno.Command("sleep", { args: ["60"] }).spawn();
  await Deno.writeTextFile(`${folder}/postmaster.pid`, `${other.pid}\n`);
  await stopServer(folder);
  other.kill("SIGTERM");
  assert.equal((await other.status).signal, "SIGTERM");
  await Deno.remove(folder, { recursive: true });
});

async function untilGone(folder: string): Promise<void> {
  const deadline = Date.now() + 15_000;
  while ((await processesOf(folder)).length > 0) {
    assert.ok(Date.now() < deadline, (await processesOf(folder)).join("\n"));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
