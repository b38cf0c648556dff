import { connect } from "./connection.ts";
import { reason } from "./failure.ts";

/** The targets of the timers. */
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

/** A row of `bulwark_private.jobs`. */
interface Job {
  name: string;
  command: string;
  seconds: number;
  function_path: string | null;
}

/** Queries by index that find what a job would do, for jobs that call a function each second. */
const work: Record<string, string> = {
  "webhooks-deliver": `
    (select from bulwark.webhook_deliveries
     where status = 'pending' and ordering_key is null and due_at <= now() limit 1)
    union all
    (select from bulwark.webhook_deliveries
     where status = 'pending' and ordering_key is not null and due_at <= now() limit 1)
  `,
};

/** For how long a call to a function holds up the next: pg_cron, too, starts one beside the other. */
const functionTimeoutMs = 20_000;

/** Runs the jobs of the database on time, as pg_cron and pg_net do on a hosted project. */
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
  const run = async ({ name, command, function_path }: Job) => {
    if (!function_path) return void await sql.unsafe(command).simple();
    const found = work[name];
    if (found && (await sql.unsafe(found)).count === 0) return;
    const call = callFunction(function_path).finally(() => calls.delete(call));
    calls.add(call);
    await Promise.race([call, pause(functionTimeoutMs, stopped.signal)]);
  };
  const running = readJobs(sql).then((jobs) =>
    Promise.all(
      jobs.map((job) => repeat(job.name, job.seconds * 1000, stopped.signal, () => run(job))),
    )
  );
  running.catch((thrown) => console.error(`jobs: ${reason(thrown)}`));
  return {
    async stop() {
      stopped.abort();
      await Promise.allSettled([running, ...calls]);
      await sql.end();
    },
  };
}

async function readJobs(sql: ReturnType<typeof connect>): Promise<Job[]> {
  return await sql<Job[]>`
    select j.name, j.command, j.function_path, coalesce(
      extract(epoch from coalesce(j.local_every, j.every))::integer,
      (bulwark_private.setting(j.seconds_setting))::integer
    ) as seconds
    from bulwark_private.jobs j
  `;
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
