import { connect } from "./connection.ts";
import { reason } from "./failure.ts";

/** What the timers call. */
export interface TimerOptions {
  /** The database, as `postgres`: what pg_cron runs its jobs as. */
  databaseUrl: string;
  /** The stack's own URL. */
  url: string;
  schedulerSecret: string;
}

/** Calls that repeat until they are stopped. */
export interface Timers {
  stop(): Promise<void>;
}

const second = 1000;

/**
 * Does what pg_cron and pg_net do on a hosted project: seals the audit log each second and asks for
 * a checkpoint each minute.
 */
export function startTimers({ databaseUrl, url, schedulerSecret }: TimerOptions): Timers {
  const stopped = new AbortController();
  const sql = connect(databaseUrl);
  const loops = [
    repeat("seal_audit_log", second, stopped.signal, async () => {
      await sql`select public.seal_audit_log()`;
    }),
    repeat("audit/checkpoint", 60 * second, stopped.signal, async () => {
      const answer = await fetch(`${url}/functions/v1/audit/checkpoint`, {
        method: "POST",
        headers: { authorization: `Bearer ${schedulerSecret}` },
        signal: stopped.signal,
      });
      const { code, message } = await answer.json();
      if (!answer.ok) throw new Error(`${code} ${message}`);
    }),
  ];
  return {
    async stop() {
      stopped.abort();
      await Promise.all(loops);
      await sql.end();
    },
  };
}

/** Calls a task, waits, and calls it again; a failure is logged when it is another than before. */
async function repeat(
  name: string,
  interval: number,
  stopped: AbortSignal,
  task: () => Promise<void>,
): Promise<void> {
  let logged = "";
  while (!stopped.aborted) {
    const failure = await task().then(() => "", reason);
    if (failure && failure !== logged && !stopped.aborted) console.error(`${name}: ${failure}`);
    logged = failure;
    await pause(interval, stopped);
  }
}

function pause(milliseconds: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stopped.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      stopped.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    stopped.addEventListener("abort", done);
  });
}
