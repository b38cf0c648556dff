import { join } from "node:path";

/** Something that outlives this process just long enough to clean up after it. */
export interface Watchdog {
  /** Ends the watchdog once there is nothing left to watch. */
  release(): Promise<void>;
}

// Reads until its input closes, which happens when the parent exits in whatever way, SIGKILL
// included. A server that was stopped in order has removed its postmaster.pid by then.
const script = `
  trap '' INT TERM HUP
  cat >/dev/null
  pid=$(head -n 1 "$1" 2>/dev/null) && kill -INT "$pid"
`;

/** Stops the Postgres server of a data folder when this process dies without doing so. */
export function stopWithParent(folder: string): Watchdog {
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", script, "sh", join(folder, "postmaster.pid")],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  return {
    async release() {
      await child.stdin.close();
      await child.status;
    },
  };
}
