/** Runs the command `bulwark` as its users do: built, packed and on Node. */
import { join } from "node:path";
import { inRepository } from "../../scripts/stack/paths.ts";
import { supabaseCli } from "../../scripts/stack/binaries.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import { copyFolder } from "../../scripts/testing/copy_folder.ts";
import { madeOnce } from "../../scripts/testing/once.ts";
import { installedCommand, packAndInstall } from "../../scripts/testing/test_command.ts";

/** The output of a program, and how it ended. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** The packed command, installed into a folder by npm. */
export interface InstalledCommand {
  /** A folder for projects. */
  folder: string;
  /** The package as it was installed. */
  package: string;
  /** The program. */
  program: string;
  /** Runs `bulwark` in a project, without a terminal. */
  run(project: string, ...args: string[]): Promise<Outcome>;
  /** A copy of the installation that is another version, after `change` was made to its package. */
  asVersion(version: string, change: (folder: string) => Promise<void>): Promise<Version>;
  remove(): Promise<void>;
}

/** Another version of the command. */
export type Version = Pick<InstalledCommand, "run">;

/** The command as npm installs it, and a folder for the projects of a test file. */
export async function installCommand(): Promise<InstalledCommand> {
  const installation = Deno.env.get(installedCommand);
  const scratch = await makeScratchFolder("cli");
  try {
    const folder = installation ?? join(scratch.path, "installation");
    if (installation === undefined) await packAndInstall(folder);
    const command = join(folder, "node_modules", ".bin", "bulwark");
    return {
      folder: scratch.path,
      package: join(folder, "node_modules", "bulwark"),
      program: command,
      run: (project, ...args) => run(command, args, project),
      async asVersion(version, change) {
        const copy = join(scratch.path, `version-${version}`);
        await succeed("cp", ["-R", folder, copy]);
        const changed = join(copy, "node_modules", "bulwark");
        const manifest = JSON.parse(await Deno.readTextFile(join(changed, "package.json")));
        const text = JSON.stringify({ ...manifest, version });
        await Deno.writeTextFile(join(changed, "package.json"), text);
        await change(changed);
        return {
          run: (project, ...args) => run(join(changed, "dist/cli/bulwark.js"), args, project),
        };
      },
      remove: scratch.remove,
    };
  } catch (thrown) {
    await scratch.remove();
    throw thrown;
  }
}

/** Makes an empty project: a copy of one that `supabase init` made once in this test run. */
export async function initProject(folder: string): Promise<void> {
  const made = await madeOnce("project", await Deno.makeTempDir(), async (draft) => {
    await succeed(supabaseCli(), ["init", "--agent", "no"], draft);
  });
  await Deno.mkdir(folder, { recursive: true });
  await copyFolder(join(made, "supabase"), join(folder, "supabase"));
}

/** Runs a program to its end. */
export async function run(
  command: string,
  args: string[],
  cwd: string,
  env: Record<string, string> = {},
): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd,
    env: { SUPABASE_TELEMETRY_DISABLED: "1", NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

async function succeed(command: string, args: string[], cwd?: string): Promise<void> {
  const outcome = await run(command, args, cwd ?? inRepository());
  if (outcome.code !== 0) throw new Error(`${command} failed: ${outcome.stdout}${outcome.stderr}`);
}

/** All files below a folder with their texts, for comparisons; without the CLI's own folder. */
export async function snapshot(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  const walk = async (path: string) => {
    for await (const entry of Deno.readDir(join(folder, path))) {
      const child = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.name === ".temp") continue;
      if (entry.isDirectory) await walk(child);
      else files[child] = await Deno.readTextFile(join(folder, child));
    }
  };
  await walk("");
  return files;
}

/** Runs a program at a terminal that `script` of util-linux makes, answering what it asks. */
export const answering = {
  isMissing: async () =>
    (await run("sh", ["-c", "script --version | grep util-linux"], "/")).code !== 0,
  /** Each answer is typed once its question is shown. Returns the exit code. */
  async run(
    cwd: string,
    program: string[],
    answers: readonly (readonly [RegExp, string])[],
    size = "cols 120 rows 40",
  ): Promise<number> {
    const args = [
      "--quiet",
      "--return",
      "--command",
      `stty ${size}; ${program.join(" ")}`,
      "/dev/null",
    ];
    const child = new Deno.Command("script", {
      args,
      cwd,
      env: { TERM: "xterm" },
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const keyboard = child.stdin.getWriter();
    const left = [...answers];
    let shown = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      shown += text;
      const [question, answer] = left[0] ?? [];
      if (!question?.test(shown)) continue;
      left.shift();
      shown = "";
      await keyboard.write(new TextEncoder().encode(answer));
    }
    await keyboard.close().catch(() => {});
    return (await child.status).code;
  },
};
