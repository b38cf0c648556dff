import { join } from "node:path";
import { Failure } from "../stack/failure.ts";
import { inRepository } from "../stack/paths.ts";
import { makeScratchFolder, type ScratchFolder } from "../stack/scratch.ts";

/** The setting that names the folder into which npm has installed the command. */
export const installedCommand = "BULWARK_TEST_COMMAND";

/** The command `bulwark`, packed and installed once in a test run. */
export interface TestCommand {
  folder(): Promise<string>;
  /** Deletes it. */
  stop(): Promise<void>;
}

/** Prepares an installation that is made when a test first needs it. */
export function testCommand(): TestCommand {
  let made: Promise<ScratchFolder> | undefined;
  const make = async () => {
    const scratch = await makeScratchFolder("command");
    try {
      await packAndInstall(join(scratch.path, "installation"));
      return scratch;
    } catch (thrown) {
      await scratch.remove();
      throw thrown;
    }
  };
  return {
    folder: async () => join((await (made ??= make())).path, "installation"),
    async stop() {
      await (await made?.catch(() => null))?.remove();
    },
  };
}

/** Packs the command and installs the tarball into a new folder, as `npm install bulwark` would. */
export async function packAndInstall(folder: string): Promise<void> {
  const scratch = await makeScratchFolder("pack");
  try {
    // A copy, so that tests which build at the same time do not write the same files.
    const source = join(scratch.path, "source");
    await Deno.mkdir(join(source, "scripts"), { recursive: true });
    await Deno.mkdir(join(source, "supabase", "tests"), { recursive: true });
    await Deno.mkdir(folder);
    for (
      const path of [
        ...["package.json", "README.md", "LICENSE", "cli", "scripts/building"],
        ...["supabase/migrations", "supabase/functions"],
        "supabase/tests/bulwark_installed.test.sql",
      ]
    ) {
      await succeed("cp", ["-R", inRepository(path), join(source, path)], scratch.path);
    }
    await Deno.symlink(inRepository("node_modules"), join(source, "node_modules"));
    const quiet = ["--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
    // The repository lets no package run scripts, and would skip its own prepack too.
    const pack = ["pack", "--ignore-scripts=false", "--pack-destination", scratch.path];
    await succeed("npm", [...pack, ...quiet], source);
    const tarball = Array.from(Deno.readDirSync(scratch.path), ({ name }) => name)
      .find((name) => name.endsWith(".tgz")) ?? "";
    await Deno.writeTextFile(join(folder, "package.json"), "{}");
    await succeed("npm", ["install", ...quiet, join(scratch.path, tarball)], folder);
  } finally {
    await scratch.remove();
  }
}

async function succeed(command: string, args: string[], cwd: string): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args, cwd }).output();
  if (success) return;
  const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  throw new Failure("COMMAND_FAILED", `${command} failed: ${output}`);
}
