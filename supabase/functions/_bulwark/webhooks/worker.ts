/**
 * A worker: claims due deliveries, makes the attempts and records the results until none is due.
 * Many workers run in parallel and share only the database.
 */
import { BulwarkError } from "../foundation/errors.ts";
import type { AttemptResult, ClaimedDelivery, OpenEndpoint } from "./attempt.ts";
import { type Lane, lanesOf, WaitingLanes } from "./lanes.ts";
import type { SealedEndpoint, WebhookQueue } from "./queue.ts";
import { openRecorder, pause, type RunReport } from "./recorder.ts";
import { AddressRefused, timeoutAfter } from "./send.ts";
import { Slots } from "./slots.ts";

/** Dependencies of a worker. */
export interface Work {
  queue: WebhookQueue;
  /** Decrypts an endpoint's address and secrets. */
  open(endpoint: SealedEndpoint): Promise<OpenEndpoint>;
  /**
   * The network for an account. If the signal is given, the attempt ends as a timeout, because
   * others need its slot.
   */
  attempt(
    delivery: ClaimedDelivery,
    endpoint: OpenEndpoint,
    terms: { account: string; timeoutMs: number; signal: AbortSignal },
  ): Promise<AttemptResult>;
}

/** Limits of a run. */
export interface RunLimits {
  /** The worker's name in the delivery log. */
  worker: string;
  /** Claims this delivery only. */
  only?: string;
  /**
   * Deliveries per claim. An endpoint with as many waiting in the worker, or an account with twice
   * as many, gets no more.
   */
  batch: number;
  /** Attempts in progress, without those that take longer than `slowAfterMs`. */
  concurrency: number;
  /** Slow attempts in progress; beyond this the oldest is aborted. */
  slow: number;
  slowAfterMs: number;
  /** Deliveries per run: the hosted runtime gives a request two seconds of processor time. */
  maximum: number;
  /** Duration of a claim in seconds. */
  lease: number;
  /** Longest duration of an attempt. */
  attemptTimeoutMs: number;
  /** How long the run polls after all due deliveries are done, in milliseconds. */
  wait: number;
  /** How long the run claims, in milliseconds; at least `wait`. */
  longest: number;
  /** Milliseconds between two polls. */
  interval: number;
  /** Called when the run stops claiming because it has reached its maximum. */
  onFull?: () => void;
  signal?: AbortSignal;
}

export const defaultLimits: Omit<RunLimits, "worker"> = {
  batch: 100,
  concurrency: 32,
  slow: 96,
  slowAfterMs: 1000,
  maximum: 1000,
  lease: 60,
  attemptTimeoutMs: 20_000,
  wait: 0,
  longest: 20_000,
  interval: 100,
};

/** Runs until nothing is due, a limit is reached or the signal is given. */
export async function run(work: Work, limits: RunLimits): Promise<RunReport> {
  const report: RunReport = { claimed: 0, delivered: 0, failed: 0 };
  const until = performance.now() + limits.wait;
  const claimUntil = performance.now() + Math.max(limits.wait, limits.longest);
  const results = openRecorder(work.queue, report, limits.lease * 1000);
  const opened = new Map<string, Promise<OpenEndpoint>>();
  const waiting = new WaitingLanes();
  let wake = () => {};
  const slots = new Slots(limits, () => pump());
  let returned = 0;
  /**
   * Whether the last claim was empty without exclusions and no attempt ended since: nothing is due.
   */
  let drained = false;

  const open = (endpoint: SealedEndpoint) => {
    // A changed address or secret makes another cache key.
    const key = JSON.stringify([endpoint.id, endpoint.destination, endpoint.secrets]);
    const known = opened.get(key) ?? work.open(endpoint);
    opened.set(key, known);
    return known;
  };
  const giveBack = ({ deliveries }: Lane) => {
    returned += deliveries.length;
    for (const { id, attempt_id } of deliveries) results.add({ delivery_id: id, attempt_id });
    deliveries.length = 0;
  };
  const tooLate = ({ startBefore }: Lane) =>
    performance.now() > startBefore || limits.signal?.aborted === true;

  /** Makes the next attempt of a lane; the rest of the lane waits for another slot. */
  const drive = async (lane: Lane, signal: AbortSignal) => {
    const delivery = tooLate(lane) ? undefined : lane.deliveries.shift();
    if (!delivery) return giveBack(lane);
    const { account } = lane.holder;
    const terms = { account, timeoutMs: timeoutAfter(lane.endpoint.timeouts), signal };
    const result = await open(lane.endpoint).then(
      (endpoint) => work.attempt(delivery, endpoint, terms),
      (thrown) => ({
        delivery_id: delivery.id,
        attempt_id: delivery.attempt_id,
        ...unopened(thrown),
      }),
    );
    results.add(result);
    drained = false;
    if (result.outcome !== "delivered") giveBack(lane);
    else if (lane.deliveries.length > 0) waiting.add(lane);
    // An unproven endpoint gets one attempt at a time from now on.
    if (result.outcome === "timed_out") {
      waiting.remove(({ endpoint }) => endpoint.id === lane.endpoint.id).forEach(giveBack);
    }
  };

  let lookAgainAt = 0;
  const pump = () => {
    for (;;) {
      const lane = waiting.next(slots);
      if (!lane) return;
      const { endpoint } = lane.holder;
      if (waiting.of(endpoint) === limits.batch - 1) lookAgainAt = 0;
      slots.hold(lane.holder, (signal) => drive(lane, signal)).finally(() => {
        pump();
        if (slots.active === 0 || waiting.of(endpoint) < limits.batch) wake();
      });
    }
  };

  /** The endpoints and accounts to exclude from a claim, and how many other deliveries wait. */
  const enough = () => {
    const [endpoints, accounts] = [new Set<string>(), new Set<string>()];
    const perAccount = new Map<string, number>();
    let [wanted, unproven] = [0, 0];
    for (const { holder, count } of waiting.endpoints()) {
      const { account, endpoint, proven } = holder;
      const ofAccount = (perAccount.get(account) ?? 0) + count;
      perAccount.set(account, ofAccount);
      if (!proven) unproven += count;
      if (!proven || ofAccount >= 2 * limits.batch) accounts.add(account);
      if (count >= limits.batch || slots.isSlow(holder)) endpoints.add(endpoint);
      else wanted += count;
    }
    return { endpoints, accounts, wanted, unproven };
  };

  let failure: unknown;
  let claiming = false;
  const claim = async ({ endpoints, accounts, unproven }: ReturnType<typeof enough>) => {
    claiming = true;
    const began = performance.now();
    const { worker, lease, only } = limits;
    try {
      const got = await work.queue.claim({
        worker,
        maximum: Math.min(limits.batch, limits.maximum - report.claimed + returned),
        maximumUnproven: Math.max(
          0,
          slots.free(false) + Math.ceil(limits.concurrency / 2) - unproven,
        ),
        lease,
        busyEndpoints: [...endpoints],
        busyAccounts: [...accounts],
        only,
      });
      report.claimed += got.deliveries.length;
      const startBefore = began + lease * 1000 - limits.attemptTimeoutMs;
      for (const lane of lanesOf(got, startBefore)) waiting.add(lane);
      const everybody = endpoints.size === 0 && accounts.size === 0;
      drained = everybody && got.deliveries.length === 0;
      const took = performance.now() - began;
      // With many pending endpoints, claims take at most half of the time.
      const later = performance.now() + Math.max(limits.interval, took);
      if (!everybody || drained) lookAgainAt = later;
    } catch (thrown) {
      failure = thrown;
    }
    claiming = false;
    pump();
    wake();
  };

  let full = false;
  // Checks leases and the signal also while no attempt ends.
  const ticking = setInterval(() => {
    waiting.remove(tooLate).forEach(giveBack);
    wake();
  }, limits.interval);
  for (;;) {
    const woken = new Promise<void>((resolve) => wake = resolve);
    if (!full && report.claimed - returned >= limits.maximum) {
      full = true;
      limits.onFull?.();
    }
    const stopping = failure !== undefined || limits.signal?.aborted || full ||
      performance.now() >= claimUntil;
    // Under load, deliveries to endpoints that do not answer are returned.
    if (stopping || waiting.size > 4 * limits.batch) {
      waiting.remove(({ holder }) => slots.isSlow(holder)).forEach(giveBack);
    }
    const known = enough();
    const wanted = known.wanted < limits.batch;
    if (!stopping && !claiming && wanted && performance.now() >= lookAgainAt) claim(known);
    if (claiming || slots.active > 0 || waiting.size > 0) {
      await woken;
      continue;
    }
    await results.flush().catch((thrown) => failure ??= thrown);
    if (stopping || failure || limits.only) break;
    if (!drained) lookAgainAt = 0;
    else if (performance.now() >= until) break;
    else await pause(lookAgainAt - performance.now(), limits.signal);
  }
  clearInterval(ticking);
  if (failure) throw failure;
  return report;
}

/** The result for an endpoint that cannot be opened, without internal error texts. */
function unopened(thrown: unknown): Pick<AttemptResult, "outcome" | "response"> {
  const refused = thrown instanceof AddressRefused || thrown instanceof BulwarkError;
  return refused
    ? { outcome: "forbidden", response: "the address is not allowed" }
    : { outcome: "unreadable", response: "the address or a secret cannot be decrypted" };
}
