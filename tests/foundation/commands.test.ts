/** Every command: wrong arguments and a broken surrounding are one line and an exit code. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { currentDeno } from "../../scripts/stack/binaries.ts";
import { inRepository, root } from "../../scripts/stack/paths.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";

const { scripts } = JSON.parse(await Deno.readTextFile(inRepository("package.json")));
/** The commands of `npm run`, by name, with the file of each. */
const commands = new Map(
  Object.entries<string>(scripts)
    .map(([name, line]) => [name, /^node scripts\/run\.mjs (\w+)$/.exec(line)?.[1]] as const)
    .filter((entry): entry is [string, string] => entry[1] !== undefined),
);

/** Commands that work on a stack or a project, and arguments that they accept. */
const onProject: Record<string, string[]> = {
  "rotate-keys": [],
  "audit-archive": ["2026-01"],
  "export-audit": ["6b1f7a52-7d0e-4b8c-9f7a-0f6f4f0b7a11", "--out", "/dev/null/export"],
  "compliance-report": ["6b1f7a52-7d0e-4b8c-9f7a-0f6f4f0b7a11", "--out", "/dev/null/report"],
  tour: [],
};
/** Commands that work on files, or on databases of their own. */
const alone = [
  ...["start", "test", "check", "bench", "build", "release", "types", "verify-audit"],
  ...["backup", "restore", "drill", "blocks", "docs", "openapi", "screenshots"],
];

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command in a line of shell, where it is "$@". */
async function run(
  command: string,
  args: string[],
  { env = {}, line = 'exec "$@"' }: { env?: Record<string, string>; line?: string } = {},
): Promise<Ended> {
  const script = inRepository("scripts", `${commands.get(command)}.ts`);
  const deno = [currentDeno(), "run", "-A", "--no-check", `--config=${inRepository("deno.json")}`];
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", line, "bash", ...deno, script, ...args],
    env: { NO_COLOR: "1", BULWARK_PARENT_PIPE: "", BULWARK_ENV_FILE: "", ...env },
    cwd: root,
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** One line that says what is wrong, and no trace of the stack. */
function assertRefusal({ code, stdout, stderr }: Ended, said: RegExp, codes = [1, 2]): void {
  assert.ok(codes.includes(code), `exit code ${code}: ${stdout}${stderr}`);
  assert.match(stderr, said);
  assert.equal(stderr.trim().split("\n").length, 1, stderr);
  assert.doesNotMatch(stderr, /^\s+at |defect|Uncaught/m);
}

Deno.test("every command is known to these tests", () => {
  assert.deepEqual([...commands.keys()].sort(), [...alone, ...Object.keys(onProject)].sort());
});

for (const command of commands.keys()) {
  Deno.test(`${command} refuses unknown options and stray arguments`, async () => {
    const usage = /; usage: npm (run )?[\w-]+/;
    const [unknown, stray] = await Promise.all([
      run(command, ["--no-such-option"]),
      run(command, ["stray", "stray", "stray"]),
    ]);
    assertRefusal(unknown, usage, [2]);
    if (command === "test") return assert.match(stray.stdout, /^Nothing to test for: stray/);
    assertRefusal(stray, /usage: npm|Cannot find a benchmark/, [2]);
  });
}

for (const [command, args] of Object.entries(onProject)) {
  Deno.test(`${command} says in one line that nothing answers`, async () => {
    const { path, remove } = await makeScratchFolder("commands");
    try {
      const nowhere = { BULWARK_DATA_DIR: path, SUPABASE_URL: "", BULWARK_SCHEDULER_SECRET: "" };
      const state = { url: "http://127.0.0.1:1", publishableKey: "k", databasePort: 1, pid: 1 };
      for (const text of [JSON.stringify(state), "{"]) {
        await Deno.writeTextFile(join(path, "stack.json"), text);
        const stale = await run(command, args, { env: nowhere });
        assertRefusal(stale, /Cannot [\w ]+: .*(npm start|SUPABASE_URL is not set)/);
      }
      const page = Deno.serve(
        { port: 0, hostname: "127.0.0.1", onListen: () => {} },
        () => new Response("<html>", { status: 502 }),
      );
      const urls = ["http://127.0.0.1:1", "nonsense", `http://127.0.0.1:${page.addr.port}`];
      for (const url of command === "tour" ? [] : urls) {
        const env = {
          ...nowhere,
          SUPABASE_URL: url,
          SUPABASE_SECRET_KEY: "sb_secret_x",
          BULWARK_SCHEDULER_SECRET: "x".repeat(32),
        };
        const out = args.map((arg) => arg.startsWith("/dev/null/") ? join(path, "out") : arg);
        assertRefusal(await run(command, out, { env }), /^Cannot /);
      }
      await page.shutdown();
    } finally {
      await remove();
    }
  });
}

Deno.test("a file or an output that cannot be written is one line", async () => {
  const env = { SUPABASE_URL: "http://127.0.0.1:1", SUPABASE_SECRET_KEY: "sb_secret_x" };
  const said = /^Cannot go on: .*\/dev\/null/;
  assertRefusal(await run("export-audit", onProject["export-audit"] ?? [], { env }), said);
  assertRefusal(await run("bench", ["rbac", "--json", "/dev/null/file"]), said);
  const silent = { line: 'exec "$@" 2>/dev/full' };
  assert.equal((await run("verify-audit", ["--no-such-option"], silent)).code, 2);
  const full = await run("test", ["nothing"], { line: 'exec "$@" >/dev/full' });
  assertRefusal(full, /^Cannot go on: .*[Nn]o space left/);
  assert.equal((await run("test", ["nothing"], { line: '"$@" | true; exit 0' })).stderr, "");
});

Deno.test("every command reads .env, and the environment comes before it", async () => {
  const { path, remove } = await makeScratchFolder("commands");
  try {
    const file = join(path, "env");
    const own = `SUPABASE_URL=http://127.0.0.1:1\nBULWARK_SCHEDULER_SECRET=${"x".repeat(32)}\n`;
    await Deno.writeTextFile(file, own);
    const env = { BULWARK_ENV_FILE: file, BULWARK_DATA_DIR: path };
    const said = /^Cannot rotate keys: http:\/\/127\.0\.0\.1:(\d) does not answer$/m;
    assert.match((await run("rotate-keys", [], { env })).stderr, said);
    const other = { ...env, SUPABASE_URL: "http://127.0.0.1:2" };
    assert.equal(said.exec((await run("rotate-keys", [], { env: other })).stderr)?.[1], "2");
  } finally {
    await remove();
  }
});
