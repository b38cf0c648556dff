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
/** For how long a call to a function holds up the next: pg_cron, too, starts one beside the other. */
const patience = 20 * second;

/** What hosted has pg_cron run in the database: a function of `public`, and its period in seconds. */
const databaseJobs: Record<string, number> = {
  seal_audit_log: 1,
  check_audit_log: 300,
  cleanup_mfa: 900,
  cleanup_invitations: 3600,
  evaluate_security_rules: 5,
  cleanup_old_rate_limits: 60,
  evaluate_alerts: 5,
  roll_up_metrics: 600,
  prune_webhook_deliveries: 300,
};

/** What hosted has pg_net ask of an edge function: its path, and its period in seconds. */
const functionJobs: Record<string, number> = {
  "bulwark-audit/checkpoint": 60,
  "bulwark-encryption/work": 15,
  "bulwark-webhooks/deliver": 1,
};

/** Does on time what pg_cron and pg_net do on a hosted project. */
export function startTimers({ databaseUrl, url, schedulerSecret }: TimerOptions): Timers {
  const stopped = new AbortController();
  const sql = connect(databaseUrl);
  const calls = new Set<Promise<void>>();
  const callFunction = async (path: string) => {
    const answer = await fetch(`${url}/functions/v1/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${schedulerSecret}` },
      body: "{}",
      signal: stopped.signal,
    });
    const { code, message } = await answer.json();
    if (!answer.ok) throw new Error(`${code} ${message}`);
  };
  const inDatabase = Object.entries(databaseJobs).map(([name, period]) =>
    repeat(name, period * second, stopped.signal, async () => {
      await sql`select ${sql("bulwark")}.${sql(name)}()`;
    })
  );
  const inFunctions = Object.entries(functionJobs).map(([path, period]) =>
    repeat(path, period * second, stopped.signal, async () => {
      const call = callFunction(path).finally(() => calls.delete(call));
      calls.add(call);
      await Promise.race([call, pause(patience, stopped.signal)]);
    })
  );
  return {
    async stop() {
      stopped.abort();
      await Promise.allSettled([...inDatabase, ...inFunctions, ...calls]);
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
