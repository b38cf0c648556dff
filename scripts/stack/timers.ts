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
 * Does what pg_cron and pg_net do on a hosted project: seals the audit log each second, asks for a
 * checkpoint each minute, and for re-encryption to go on.
 */
export function startTimers({ databaseUrl, url, schedulerSecret }: TimerOptions): Timers {
  const stopped = new AbortController();
  const sql = connect(databaseUrl);
  const call = async (path: string) => {
    const answer = await fetch(`${url}/functions/v1/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${schedulerSecret}` },
      body: "{}",
      signal: stopped.signal,
    });
    const { code, message } = await answer.json();
    if (!answer.ok) throw new Error(`${code} ${message}`);
  };
  const loops = [
    repeat("seal_audit_log", second, stopped.signal, async () => {
      await sql`select public.seal_audit_log()`;
    }),
    repeat("audit/checkpoint", 60 * second, stopped.signal, () => call("audit/checkpoint")),
    repeat("encryption/work", 5 * second, stopped.signal, async () => {
      const [{ waits }] = await sql<[{ waits: boolean }]>`
        select exists (
          select from private.reencryptions r where r.state in ('running', 'settling')
        ) as waits
      `;
      if (waits) await call("encryption/work");
    }),
  ];
  return {
    async stop() {
      stopped.abort();
      await Promise.all([...inDatabase, ...inFunctions]);
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
