/** Every call of the client against the running stack, and the types of the answers. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { build } from "esbuild";
import { buildClient, run } from "../../scripts/building/client/package.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import { journey, type Recorded } from "./journey.ts";
import { createBulwark, makePlace, supabaseWith } from "./support.ts";

const receiver = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen() {} },
  () => new Response(null, { status: 204 }),
);
const receiverUrl = `http://127.0.0.1:${receiver.addr.port}/`;
const scratch = await makeScratchFolder("client");
const { consumer } = await buildClient(scratch.path);

// Both journeys at once.
const onNode = travelOnNode();
const onDeno = journey({ createBulwark, connect: supabaseWith }, await makePlace(receiverUrl));
onNode.catch(() => {});
onDeno.catch(() => {});

Deno.test("CLIENT-E01: Deno with supabase-js reaches everything, and only its own", async () => {
  const called = new Set((await onDeno).map(({ path }) => path));
  const all = pathsOf(createBulwark(supabaseWith("")));
  assert.deepEqual(all.filter((path) => !called.has(path)), []);
});

Deno.test("CLIENT-E02: Node 20 does too, with the built package and without supabase-js", async () => {
  const paths = (all: Recorded[]) => [...new Set(all.map(({ path }) => path))].sort();
  assert.deepEqual(paths(await onNode), paths(await onDeno));
});

// A literal may have neither fields that its type lacks nor values that it forbids.
Deno.test("CLIENT-E03: the types of all answers are those that the stack gave", async () => {
  const answers = [...await onDeno, ...await onNode].filter(({ path, data }) =>
    // The type of canAll depends on its arguments.
    data !== undefined && path !== "canAll"
  );
  assert.ok(answers.length > 200, String(answers.length));
  const lines = answers.map(({ path, data }, index) => {
    const type = path.split(".").map((name) => `["${name}"]`).join("");
    return `export const a${index}: Awaited<ReturnType<Bulwark${type}>> = ${JSON.stringify(data)};`;
  });
  const header = [
    `import type { Client } from "@bulwark/client";`,
    "type Bulwark = Client<true>;",
  ];
  await Deno.writeTextFile(join(consumer, "answers.ts"), [...header, ...lines].join("\n"));
  const tsc = inRepository("node_modules", "typescript", "bin", "tsc");
  const options = ["--strict", "--exactOptionalPropertyTypes", "--noEmit", "--module", "NodeNext"];
  const types = ["--target", "ES2022", "--types", "node"];
  await run("node", [tsc, ...options, ...types, join(consumer, "answers.ts")]);
});

Deno.test.afterAll(async () => {
  await receiver.shutdown();
  await scratch.remove();
});

async function travelOnNode(): Promise<Recorded[]> {
  await build({
    entryPoints: [inRepository("tests", "client", "journey.ts")],
    outfile: join(consumer, "journey.mjs"),
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
  });
  const runner = join(consumer, "node_runner.mjs");
  await Deno.copyFile(inRepository("tests", "client", "node_runner.mjs"), runner);
  const place = JSON.stringify(await makePlace(receiverUrl));
  const { success, stdout, stderr } = await runWith("node", [runner], place);
  assert.ok(success, stderr);
  return JSON.parse(stdout);
}

async function runWith(program: string, args: string[], input: string) {
  const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  const child = new Deno.Command(program, { args, ...piped }).spawn();
  await new Blob([input]).stream().pipeTo(child.stdin);
  const { success, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { success, stdout: text(stdout), stderr: text(stderr) };
}

/** The paths of all calls of a client. */
function pathsOf(part: object, above = ""): string[] {
  return Object.entries(part).flatMap(([name, value]) =>
    typeof value === "function" ? [above + name] : pathsOf(value, `${above}${name}.`)
  );
}
