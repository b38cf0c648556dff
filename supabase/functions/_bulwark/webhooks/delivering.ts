/** Runs of the worker as the function makes them. */
import type { CallerClient } from "../foundation/caller.ts";
import type { DataKeys } from "../encryption/mod.ts";
import { unwrap } from "../foundation/errors.ts";
import { attempt } from "./attempt.ts";
import { dialer } from "./connection.ts";
import { openPool } from "./pool.ts";
import type { AddressPolicy } from "./destination.ts";
import { Lookups } from "./lookups.ts";
import { webhookQueue } from "./queue.ts";
import { systemResolve } from "./resolve.ts";
import { openEndpoint } from "./sealing.ts";
import { timeouts } from "./send.ts";
import type { RunReport } from "./recorder.ts";
import { defaultLimits, run, type RunLimits } from "./worker.ts";

/** What a run stands on: the service role's client, the keys, what addresses are allowed. */
export interface Delivering {
  client: CallerClient;
  keys: DataKeys;
  policy: AddressPolicy;
  /** The installation's own host: what events name as their source. */
  source: string;
}

/** One for all runs of the isolate, which share its threads. */
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
      attempt: (delivery, endpoint, { account, timeout, signal }) => {
        const resolve = lookups.of(account);
        return attempt(delivery, endpoint, { ...network, resolve, timeout, signal }, source);
      },
    }, { ...defaultLimits, worker: `function-${crypto.randomUUID().slice(0, 8)}`, ...limits });
  } finally {
    pool.close();
  }
}

/**
 * Delivers what is due for so many seconds, or for as long as a run claims, where that is longer. Where
 * it is more than one run may deliver, another one is started for the rest of the time, while this one
 * still waits for its last answers.
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
    // By then the scheduler has started the next.
    if (seconds > 0 && wait_seconds <= 0 || signal.aborted) return nothing;
    const continued = await delivering.client.rpc("continue_webhook_deliveries", {
      wait_seconds: Math.max(0, wait_seconds),
    });
    if (unwrap(continued)) return nothing;
    // Without pg_net it is this request that goes on.
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

/** Delivers one sample now and says how that went, as the delivery log has it. */
export async function deliverSample(delivering: Delivering, delivery: string) {
  await deliver(delivering, { only: delivery });
  const { data, error } = await delivering.client.from("webhook_attempts")
    .select("outcome, status, latency_ms, response")
    .eq("delivery_id", delivery).order("number", { ascending: false }).limit(1);
  if (error) throw new Error(`Cannot read the attempt: ${error.message}`);
  // Without one the scheduler's worker was faster and is at it.
  return { delivery_id: delivery, ...(data[0] ?? { outcome: null }) };
}
