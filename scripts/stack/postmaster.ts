import { join } from "node:path";

/** Stops whatever server runs on a data folder, also one that an earlier process left behind. */
export async function stopServer(folder: string): Promise<void> {
  const pid = serverPid(folder);
  if (pid === null || !serves(pid, folder)) return;
  for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
    try {
      Deno.kill(pid, signal);
    } catch {
      return;
    }
    for (let waited = 0; waited < 10_000; waited += 10) {
      if (!serves(pid, folder)) return;
      await sleep(10);
    }
  }
}

/** True once the server `pid` accepts connections: then postmaster.pid ends in "ready". */
export function isReady(folder: string, pid: number): boolean {
  try {
    const lines = Deno.readTextFileSync(join(folder, "postmaster.pid")).split("\n");
    return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
  } catch {
    return false;
  }
}

/** The postmaster's process id, as it recorded it in its data folder. */
function serverPid(folder: string): number | null {
  try {
    const pid = Number(Deno.readTextFileSync(join(folder, "postmaster.pid")).split("\n")[0]);
    return pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

/**
 * True while the process lives and is the server of this very folder. After a crash its number may
 * have gone to another process, to somebody else's Postgres even.
 */
function serves(pid: number, folder: string): boolean {
  return commandLine(pid).includes(`postgres -D ${folder} `);
}

function commandLine(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
  } catch {
    if (Deno.build.os === "linux") return "";
  }
  const ps = new Deno.Command("ps", { args: ["-ww", "-o", "args=", "-p", String(pid)] });
  return new TextDecoder().decode(ps.outputSync().stdout);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
