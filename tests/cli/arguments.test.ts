/** Wrong arguments and an output that cannot be written: one line, and an exit code that is no answer. */
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { main } from "../../cli/main.ts";
import { installCommand } from "./support.ts";

/** Runs the command in this process, and returns the exit code and what it printed. */
const run = (...args: string[]) => runWith({ interactive: false }, ...args);

async function runWith(
  { interactive }: { interactive: boolean },
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const write = process.stderr.write;
  const printed = { stdout: "", stderr: "" };
  process.stderr.write = (text: string | Uint8Array) => {
    printed.stderr += text;
    return true;
  };
  const terminal = {
    interactive,
    print: (line: string) => void (printed.stdout += `${line}\n`),
    confirm: () => Promise.reject(new Error("nobody is there")),
    select: () => Promise.reject(new Error("nobody is there")),
    selectMany: () => Promise.reject(new Error("nobody is there")),
  };
  try {
    return { code: await main(args, terminal), ...printed };
  } finally {
    process.stderr.write = write;
  }
}

Deno.test("bulwark refuses stray arguments and unknown options", async () => {
  const overview = await run("--help");
  const names = [...overview.stdout.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name ?? "");
  assert.ok(names.length >= 6);
  for (const name of [...names, "--version", "--help", "no_such_command"]) {
    for (const wrong of [["--no-such-option"], ["stray", "stray", "stray"]]) {
      const { code, stderr } = await run(name, ...wrong);
      // `add` takes names of capabilities, and looks at the project first.
      assert.match(stderr, /^bulwark: .* \(CLI_(USAGE|UNKNOWN_CAPABILITY|NOT_INSTALLED)\)\n$/);
      assert.equal(code, stderr.includes("NOT_INSTALLED") ? 1 : 2, `${name} ${wrong}: ${stderr}`);
    }
  }
});

Deno.test("bulwark init asks nothing with --yes, and says that it needs --with then", async () => {
  const project = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(project, "supabase"));
    await Deno.writeTextFile(join(project, "supabase", "config.toml"), 'project_id = "app"\n');
    for (const interactive of [true, false]) {
      const { code, stderr } = await runWith(
        { interactive },
        "init",
        "--workdir",
        project,
        "--yes",
      );
      assert.equal(code, 2, stderr);
      assert.match(stderr, /as nobody is asked: --with .*CLI_USAGE/);
    }
  } finally {
    await Deno.remove(project, { recursive: true });
  }
});

Deno.test("bulwark survives an output that is full or closed", async () => {
  const command = await installCommand();
  try {
    const full = /^bulwark: Cannot write the output: ENOSPC \(CLI_OUTPUT_FAILED\)\n$/;
    for (
      const [line, said] of [
        ['"$0" --help >/dev/full', full],
        ['"$0" doctor 2>/dev/full', /^$/],
      ] as const
    ) {
      const { code, stderr } = await new Deno.Command("bash", {
        args: ["-c", line, command.program],
        cwd: command.folder,
      }).output();
      assert.equal(code, 2);
      assert.match(new TextDecoder().decode(stderr), said);
    }
  } finally {
    await command.remove();
  }
});
