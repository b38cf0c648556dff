import { currentDeno } from "../stack/binaries.ts";
import { runningStack, type StackState } from "../stack/instance.ts";
import { inRepository, stackPaths } from "../stack/paths.ts";

/** How to run the program behind `npm start`. */
export interface ProgramOptions {
  /** The folder it keeps everything in. */
  folder: string;
  args?: string[];
  env?: Record<string, string>;
  /** Another way to get it going than Deno and its file. */
  command?: [string, ...string[]];
}

/** A running `npm start`. */
export interface Program {
  pid: number;
  /** Its state once it serves; null if it ends before. */
  ready(): Promise<StackState | null>;
  /** Its exit code; 128 and more for a signal. */
  exited: Promise<number>;
  /** Its output so far, both streams. */
  output(): Promise<string>;
  kill(signal: Deno.Signal): void;
  /** Sends a signal to all of its processes, as a terminal does for Ctrl-C. */
  killGroup(signal: Deno.Signal): Promise<void>;
  /** Asks it to stop and waits until it has. */
  stop(): Promise<number>;
}

/** The command behind `npm start`. */
export const startCommand: [string, ...string[]] = [
  currentDeno(),
  "run",
  "--allow-all",
  `--config=${inRepository("deno.json")}`,
  inRepository("scripts", "start.ts"),
];

/** Runs `npm start`'s program in a process of its own, on free ports unless told otherwise. */
export function startProgram(options: ProgramOptions): Program {
  const { folder, args = ["--port", "0"], command = startCommand } = options;
  const log = `${folder}.log`;
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "sh", log, ...command, ...args],
    env: { BULWARK_DATA_DIR: folder, BULWARK_PARENT_PIPE: "1", NO_COLOR: "1", ...options.env },
    stdin: "piped",
    // In a process group of its own, as from an interactive shell.
    detached: true,
  }).spawn();
  let over = false;
  const exited = child.status.then(async ({ code }) => {
    over = true;
    await child.stdin.close().catch(() => {});
    return code;
  });
  const kill = (signal: Deno.Signal) => {
    if (!over) child.kill(signal);
  };
  return {
    pid: child.pid,
    exited,
    kill,
    async killGroup(signal) {
      const args = ["-s", signal.slice(3), "--", `-${child.pid}`];
      await new Deno.Command("kill", { args }).output();
    },
    output: () => Deno.readTextFile(log).catch(() => ""),
    async ready() {
      for (let waited = 0; !over && waited < 60_000; waited += 20) {
        const state = await runningStack(stackPaths(folder));
        if (state) return state;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return null;
    },
    stop() {
      kill("SIGTERM");
      return exited;
    },
  };
}

/** The command lines of all processes that name a folder: what a stack left running. */
export async function processesOf(folder: string): Promise<string[]> {
  const ps = new Deno.Command("ps", { args: ["-axo", "pid=,args="], stdout: "piped" });
  const lines = Deno.build.os === "linux"
    ? await commandLines()
    : new TextDecoder().decode((await ps.output()).stdout).split("\n");
  return lines.filter((line) => line.includes(folder));
}

async function commandLines(): Promise<string[]> {
  const lines: string[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    lines.push(`${name} ${line.replaceAll("\0", " ")}`);
  }
  return lines;
}
