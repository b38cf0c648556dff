import { join } from "node:path";

/** Something that outlives this process just long enough to clean up after it. */
export interface Watchdog {
  /** Ends the watchdog once there is nothing left to watch. */
  release(): Promise<void>;
}

// Reads until its input closes, which happens when the parent exits in whatever way, SIGKILL
// included. A server that has stopped by itself no longer has its number in postmaster.pid.
const script = `
  trap '' INT TERM HUP
  cat >/dev/null
  [ "$(head -n 1 "$1" 2>/dev/null)" = "$2" ] && kill -INT "$2"
`;

/** Stops the Postgres server `pid` of a data folder when this process dies without doing so. */
export function stopWithParent(folder: string, pid: number): Watchdog {
  return watch([script, "sh", join(folder, "postmaster.pid"), String(pid)]);
}

/** Ends a program of ours when this process dies without doing so. */
export function killWithParent(pid: number): Watchdog {
  return watch([`trap '' INT TERM HUP; cat >/dev/null; kill -TERM "$1"`, "sh", String(pid)]);
}

function watch(args: string[]): Watchdog {
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", ...args],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  return {
    async release() {
      child.kill("SIGKILL");
      await child.stdin.close();
      await child.status;
    },
  };
}
