import { Failure } from "./failure.ts";
import type { StackPaths } from "./paths.ts";

/** The state of a running stack in `stack.json`, for other programs on this machine. */
export interface StackState {
  url: string;
  publishableKey: string;
  databasePort: number;
  pid: number;
}

/** The exclusive right to a stack's folder; the operating system takes it back when we die. */
export interface Instance {
  publish(state: StackState): Promise<void>;
  release(): Promise<void>;
}

/** Makes a stack's folder if need be and claims it for this process. */
export async function claim(paths: StackPaths): Promise<Instance> {
  let lock: Deno.FsFile;
  try {
    // Others may pass through, for the database's user; they can list and read nothing.
    await Deno.mkdir(paths.folder, { recursive: true, mode: 0o711 });
    lock = await Deno.open(paths.lock, { create: true, write: true, mode: 0o600 });
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.PermissionDenied)) throw thrown;
    throw new Failure(
      "NO_PERMISSION",
      `Cannot write ${paths.folder}: permission denied; run as the user who owns it, or set ` +
        "BULWARK_DATA_DIR to another folder",
    );
  }
  if (!await lock.tryLock(true)) {
    lock.close();
    const running = await readState(paths);
    throw new Failure(
      "ALREADY_RUNNING",
      `Cannot start: a stack already runs on ${paths.folder}` +
        (running ? ` (${running.url}, process ${running.pid}); stop it first` : ""),
    );
  }
  return {
    async publish(state) {
      // Renamed into place, so that readers never see a part of it.
      const draft = `${paths.state}.new`;
      await Deno.writeTextFile(draft, JSON.stringify(state, null, 2) + "\n", { mode: 0o600 });
      await Deno.rename(draft, paths.state);
    },
    async release() {
      await Deno.remove(paths.state).catch(() => {});
      lock.close();
    },
  };
}

/** The state in a folder, also of a stack that has ended without removing it; null if there is none. */
export async function readState({ state }: StackPaths): Promise<StackState | null> {
  try {
    return JSON.parse(await Deno.readTextFile(state)) as StackState;
  } catch (thrown) {
    if (thrown instanceof SyntaxError || thrown instanceof Deno.errors.NotFound) return null;
    throw thrown;
  }
}

/** The state of the stack that runs on a folder; null if none runs. */
export async function runningStack(paths: StackPaths): Promise<StackState | null> {
  const state = await readState(paths);
  return state && await serves(state.url) ? state : null;
}

/** Whether a stack answers there. */
export async function serves(url: string): Promise<boolean> {
  try {
    const health = await fetch(`${url}/health`, { signal: AbortSignal.timeout(5000) });
    return (await health.json()).status === "ok";
  } catch {
    return false;
  }
}
