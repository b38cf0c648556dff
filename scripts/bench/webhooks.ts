/**
 * Webhooks: deliveries per second compared with a bare loop of fetch to the same receiver, the time
 * from commit to arrival while a sealer runs each second, and its cost for a delivery.
 *
 *   npm run bench -- webhooks [--backlog 100000] [--deliveries 1500]
 *
 * Workers and loops of fetch are threads, and so is the receiver. A loop of fetch sends one request
 * after the other. A worker has the limits of the function: it claims up to 100 deliveries per
 * round trip, the next batch while it delivers these, has up to 32 attempts in progress and records
 * up to 100 results per round trip. It uses a database connection, without PostgREST.
 */
import { bench, type BenchContext, type BenchRow, milliseconds } from "./harness.ts";
import { whileSealing } from "./sealing.ts";
import { makeEndpoint, memoryKeys } from "./webhooks/database_queue.ts";
import type { Job } from "./webhooks/sender.ts";

/** A thread that answers each message with one. */
interface Thread {
  ask<Answer>(message?: Job): Promise<Answer>;
}

function thread(file: string): { thread: Thread; first: Promise<unknown> } {
  const worker = new Worker(new URL(`./webhooks/${file}`, import.meta.url), { type: "module" });
  const next = () =>
    new Promise<unknown>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
    });
  const first = next();
  return {
    first,
    thread: {
      ask<Answer>(message?: Job) {
        const answer = next();
        worker.postMessage(message ?? null);
        return answer as Promise<Answer>;
      },
    },
  };
}

export default bench({
  options: ["backlog", "deliveries"],
  async setup(context) {
    const count = Number(context.options["deliveries"] ?? 1500);
    const backlog = Number(context.options["backlog"] ?? 100_000);
    const { thread: receiver, first } = thread("receiver.ts");
    const url = `http://127.0.0.1:${await first}/hook`;
    const { organizations, entries } = await fill(context, url);
    const { told, secret } = organizations;
    const senders = await Promise.all([1, 2, 3, 4].map(async (number) => {
      const sender = thread("sender.ts").thread;
      const databaseUrl = context.url("postgres");
      await sender.ask({ kind: "open", name: `worker-${number}`, databaseUrl, url, secret });
      return sender;
    }));
    const body = JSON.stringify(
      (await context.postgres`
        select b.body from bulwark_private.webhook_bodies b limit 1
      `)[0]?.["body"],
    );

    const rate = async (threads: Thread[], job: Job, before = () => Promise.resolve()) => {
      await before();
      const start = performance.now();
      const sent = await Promise.all(threads.map((sender) => sender.ask<number>(job)));
      const seconds = (performance.now() - start) / 1000;
      return sent.reduce((sum, part) => sum + part, 0) / seconds;
    };
    const enqueue = (number: number) => queue(context, organizations.endpoint, entries, number);
    const throughput = (workers: number): BenchRow => {
      const threads = senders.slice(0, workers);
      const all = count * workers;
      return {
        name: `deliveries, ${workers === 1 ? "one worker" : `${workers} workers`}`,
        unit: "1/s",
        better: "higher",
        ours: () => rate(threads, { kind: "deliver", wait: 0 }, () => enqueue(all)),
        peers: [{
          name: "bare loop of fetch",
          run: () => rate(threads, { kind: "fetch", count, body }),
        }],
      };
    };

    const [worker] = senders;
    /** Both percentiles of the same arrivals, measured by the row of the first. */
    const arrival = (name: string, before: () => Promise<void>): BenchRow[] => {
      let times: number[] = [];
      return [0.5, 0.99].map((share, index): BenchRow => ({
        name: `commit to arrival, ${name}, p${share * 100}`,
        unit: "ms",
        better: "lower",
        ours: async () => {
          if (index === 0) {
            await before();
            times = await whileSealing(
              context.postgres,
              () => arrivals(context, worker!, receiver, told),
            );
          }
          return times[Math.ceil(times.length * share) - 1] ?? NaN;
        },
        peers: [],
      }));
    };
    const nothing = () => queue(context, organizations.busy, entries, 0);
    const pile = () => queue(context, organizations.busy, entries, backlog);

    return [
      throughput(1),
      throughput(4),
      ...arrival("idle", nothing),
      ...arrival(`behind ${backlog.toLocaleString("en-US")}`, pile),
      outboxCost(context, organizations),
    ];
  },
});

type Organizations = Awaited<ReturnType<typeof fill>>["organizations"];

/** Three organizations, one without an endpoint, and entries to deliver. */
async function fill({ postgres }: BenchContext, url: string) {
  const keys = memoryKeys(`bench:${btoa("k".repeat(32))}`);
  const organization = async (slug: string) => {
    const [row] = await postgres`
      insert into bulwark.organizations (name, slug) values (${slug}, ${slug}) returning id
    `;
    return row?.["id"] as string;
  };
  const [told, busy, quiet] = [
    await organization("told"),
    await organization("busy"),
    await organization("quiet"),
  ];
  const endpoint = await makeEndpoint(postgres, keys, told, url, ["audit.data.read"]);
  const other = await makeEndpoint(postgres, keys, busy, url, ["audit.data.export"]);
  const entries = (await postgres`
    select bulwark.log_audit_event(
      'data.export', 'look', ${quiet}, 'public.reports', i::text
    ) as id
    from generate_series(1, 1000) as i
  `).map(({ id }) => id as string);
  await queue({ postgres } as BenchContext, other.id, entries, 1);
  const organizations = {
    told,
    quiet,
    busy: other.id,
    endpoint: endpoint.id,
    secret: endpoint.secret,
  };
  return { organizations, entries };
}

/** Puts deliveries of real entries into the outbox. */
async function queue(
  { postgres }: BenchContext,
  endpoint: string,
  entries: string[],
  count: number,
): Promise<void> {
  await postgres`truncate bulwark.webhook_attempts, bulwark_private.webhook_payloads, bulwark.webhook_deliveries`;
  await postgres`
    insert into bulwark.webhook_deliveries
      (endpoint_id, organization_id, event_id, occurred_at, source, severity, event_type)
    select e.id, e.organization_id, (${entries}::uuid[])[1 + i % ${entries.length}::int], now(), 'audit', 'info',
      'audit.data.export'
    from generate_series(1, ${count}::int) as i, bulwark.webhook_endpoints e
    where e.id = ${endpoint}
  `;
  await postgres`analyze bulwark.webhook_deliveries`;
}

/** Milliseconds from the commit of 200 events, 10 ms apart, to their arrival, in rising order. */
async function arrivals(
  { postgres }: BenchContext,
  worker: Thread,
  receiver: Thread,
  organization: string,
): Promise<number[]> {
  const running = worker.ask<number>({ kind: "deliver", wait: 4000 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const committed = new Map<string, number>();
  for (let index = 0; index < 200; index++) {
    const [row] = await postgres`
      select bulwark.log_audit_event(
        'data.read', 'look', ${organization}, 'bench.timed', ${String(index)}
      ) as id
    `;
    committed.set(row?.["id"], performance.timeOrigin + performance.now());
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const times: number[] = [];
  const deadline = performance.now() + 60_000;
  while (times.length < committed.size && performance.now() < deadline) {
    for (const [id, at] of await receiver.ask<[string, number][]>()) {
      times.push(Math.max(0, at - (committed.get(id) ?? NaN)));
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // The rest of the backlog is not needed any more.
  await postgres`update bulwark.webhook_deliveries set status = 'dead' where attempt_id is null`;
  await running;
  return times.sort((a, b) => a - b);
}

/** The time that the sealer takes for an entry, with and without its delivery. */
function outboxCost({ postgres }: BenchContext, { told, quiet }: Organizations): BenchRow {
  const entries = 2000;
  const seal = async (organization: string) => {
    await postgres`
      select count(bulwark_private.append_audit_entry('data.read', ${organization}::uuid))
      from generate_series(1, ${entries}::int)
    `;
    const time = await milliseconds(() => postgres`select bulwark.seal_audit_log()`);
    return time * 1000 / entries;
  };
  return {
    name: "sealing an audit entry for one endpoint",
    unit: "µs",
    better: "lower",
    ours: () => seal(told),
    peers: [{ name: "of an organization without endpoints", run: () => seal(quiet) }],
  };
}
