import assert from "node:assert/strict";
import { makeScratchFolder } from "../stack/scratch.ts";
import { copyFolder } from "./copy_folder.ts";
import { type Program, type ProgramOptions, startProgram } from "./program.ts";

/** A folder for one test's stacks, with the programs that the test started on it. */
export interface ScratchStack {
  folder: string;
  start(options?: Partial<ProgramOptions>): Program;
  /** Starts it, expects it to give up, and returns its one line of output. */
  startInVain(options?: Partial<ProgramOptions>): Promise<string>;
}

type StackTest = (stack: ScratchStack) => Promise<void>;

/** Runs a test with a folder for stacks; stops and deletes what is left at its end. */
export function withScratchStack(test: StackTest): Promise<void> {
  return withFolder(null, test);
}

/** The same with a stack that was started before, which saves its first start. */
export function withPreparedStack(test: StackTest): Promise<void> {
  return withFolder(Deno.env.get("BULWARK_TEST_PREPARED_STACK") ?? null, test);
}

async function withFolder(prepared: string | null, test: StackTest): Promise<void> {
  const scratch = await makeScratchFolder("stack");
  const folder = `${scratch.path}/stack`;
  const programs: Program[] = [];
  const start: ScratchStack["start"] = (options) => {
    const program = startProgram({ folder, ...options });
    programs.push(program);
    return program;
  };
  try {
    if (prepared !== null) await copyFolder(prepared, folder);
    await test({
      folder,
      start,
      async startInVain(options) {
        const program = start(options);
        assert.notEqual(await program.exited, 0);
        const lines = (await program.output()).trim().split("\n");
        assert.equal(lines.length, 1, `one line is enough:\n${lines.join("\n")}`);
        return lines[0] ?? "";
      },
    });
  } finally {
    await Promise.all(programs.map((program) => program.stop()));
    await scratch.remove();
  }
}
