/** Runs of the worker as the function makes them. */
import type { CallerClient } from "../caller.ts";
import type { DataKeys } from "../encryption/mod.ts";
import { unwrap } from "../errors.ts";
import { attempt } from "./attempt.ts";
import { dialer, openPool } from "./connection.ts";
import type { AddressPolicy } from "./destination.ts";
import { webhookQueue } from "./queue.ts";
import { systemResolve } from "./resolve.ts";
import { openEndpoint } from "./sealing.ts";
import { timeouts } from "./send.ts";
import { defaultLimits, run, type RunLimits, type RunReport } from "./worker.ts";

/** What a run stands on: the service role's client, the keys, what addresses are allowed. */
export interface Delivering {
  client: CallerClient;
  keys: DataKeys;
  policy: AddressPolicy;
  /** The installation's own host: what events name as their source. */
  source: string;
}

/** Delivers what is due; see {@link run}. */
export async function deliver(
  { client, keys, policy, source }: Delivering,
  limits: Partial<RunLimits>,
): Promise<RunReport> {
  const pool = openPool();
  const network = { ...timeouts, resolve: systemResolve, dial: dialer(), pool, policy };
  try {
    return await run({
      queue: webhookQueue(client),
      open: (endpoint) => openEndpoint(keys, endpoint, policy),
      attempt: (delivery, endpoint) => attempt(delivery, endpoint, network, source),
    }, { ...defaultLimits, worker: `function-${crypto.randomUUID().slice(0, 8)}`, ...limits });
  } finally {
    pool.close();
  }
}

/**
 * Delivers what is due for so many seconds. Where that is more than one run may deliver, another is
 * started for the rest of the time.
 */
export async function deliverFor(
  delivering: Delivering,
  seconds: number,
  signal: AbortSignal,
): Promise<RunReport> {
  const until = performance.now() + seconds * 1000;
  const report = await deliver(delivering, { wait: seconds * 1000, signal });
  const left = Math.floor((until - performance.now()) / 1000);
  if (report.claimed >= defaultLimits.maximum && left > 0) {
    unwrap(await delivering.client.rpc("continue_webhook_deliveries", { wait_seconds: left }));
  }
  return report;
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
