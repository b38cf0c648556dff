/** Runs of the worker in the edge function. */
import type { CallerClient } from "../foundation/caller.ts";
import type { DataKeys } from "../encryption/mod.ts";
import { unwrap } from "../foundation/errors.ts";
import { attempt } from "./attempt.ts";
import { dialer } from "./connection.ts";
import { openPool } from "./pool.ts";
import type { AddressPolicy } from "./destination.ts";
import { Lookups, systemResolve } from "./lookups.ts";
import { webhookQueue } from "./queue.ts";
import { openEndpoint } from "./sealing.ts";
import { timeouts } from "./send.ts";
import type { RunReport } from "./recorder.ts";
import { defaultLimits, run, type RunLimits } from "./worker.ts";

/** Dependencies of a run: the service role's client, the keys, and the allowed addresses. */
export interface Delivering {
  client: CallerClient;
  keys: DataKeys;
  policy: AddressPolicy;
  /** The installation's host, the source of the events. */
  source: string;
}

/** Shared by all runs of the isolate, because they share its threads. */
const lookups = new Lookups(systemResolve);

/** Delivers what is due; see {@link run}. */
export async function deliver(
  { client, keys, policy, source }: Delivering,
  limits: Partial<RunLimits>,
): Promise<RunReport> {
  const pool = openPool();
  const network = { ...timeouts, dial: dialer(), pool, policy };
  try {
    return await run({
      queue: webhookQueue(client),
      open: (endpoint) => openEndpoint(keys, endpoint, policy),
      attempt: (delivery, endpoint, { account, timeoutMs, signal }) => {
        const resolve = lookups.of(account);
        return attempt(delivery, endpoint, { ...network, resolve, timeoutMs, signal }, source);
      },
    }, { ...defaultLimits, worker: `function-${crypto.randomUUID().slice(0, 8)}`, ...limits });
  } finally {
    pool.close();
  }
}

/**
 * Delivers for this many seconds, or for the longest time of a run if that is longer. If it reaches
 * its maximum, starts a follow-up run for the remaining time while it waits for its last answers.
 */
export async function deliverFor(
  delivering: Delivering,
  seconds: number,
  signal: AbortSignal,
): Promise<RunReport> {
  const started = performance.now();
  const left = (of: number) => of - (performance.now() - started);
  let next: Promise<RunReport> | undefined;
  const startNext = async () => {
    const wait_seconds = Math.floor(left(seconds * 1000) / 1000);
    // No time is left: the scheduler has started the next run.
    if (seconds > 0 && wait_seconds <= 0 || signal.aborted) return nothing;
    const continued = await delivering.client.rpc("continue_webhook_deliveries", {
      wait_seconds: Math.max(0, wait_seconds),
    });
    if (unwrap(continued)) return nothing;
    // Without pg_net this request continues itself.
    const longest = left(Math.max(seconds * 1000, defaultLimits.longest));
    return longest > 0 ? await deliver(delivering, { longest, signal, onFull }) : nothing;
  };
  const onFull = () => next = startNext();
  let report = await deliver(delivering, { wait: seconds * 1000, signal, onFull });
  while (next) {
    const following = next;
    next = undefined;
    report = add(report, await following);
  }
  return report;
}

const nothing: RunReport = { claimed: 0, delivered: 0, failed: 0 };

function add(one: RunReport, other: RunReport): RunReport {
  return {
    claimed: one.claimed + other.claimed,
    delivered: one.delivered + other.delivered,
    failed: one.failed + other.failed,
  };
}

/** Delivers one sample now and returns the result as in the delivery log. */
export async function deliverSample(delivering: Delivering, delivery: string) {
  await deliver(delivering, { only: delivery });
  const { data, error } = await delivering.client.from("webhook_attempts")
    .select("outcome, status, latency_ms, response")
    .eq("delivery_id", delivery).order("number", { ascending: false }).limit(1);
  if (error) throw new Error(`Cannot read the attempt: ${error.message}`);
  // Without a result another worker has claimed the sample.
  return { delivery_id: delivery, ...(data[0] ?? { outcome: null }) };
}
