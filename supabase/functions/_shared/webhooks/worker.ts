/**
 * A worker: claims what is due, delivers it, says how it ended, until nothing is due. Many run at
 * once; what they share is the database alone.
 */
import { BulwarkError } from "../errors.ts";
import type { AttemptResult, ClaimedDelivery, OpenEndpoint } from "./attempt.ts";
import type { SealedEndpoint, WebhookQueue } from "./queue.ts";
import { AddressRefused } from "./send.ts";

/** What a worker works with. */
export interface Work {
  queue: WebhookQueue;
  /** Decrypts an endpoint's address and secrets. */
  open(endpoint: SealedEndpoint): Promise<OpenEndpoint>;
  attempt(delivery: ClaimedDelivery, endpoint: OpenEndpoint): Promise<AttemptResult>;
}

/** How much a run does, and for how long. */
export interface RunLimits {
  /** The worker's name in the delivery log. */
  worker: string;
  /** Claims one delivery and no other. */
  only?: string;
  /** Deliveries a claim; of an endpoint of which as many wait in the worker no more are claimed. */
  batch: number;
  /** Attempts under way at once; of one endpoint half as many. */
  concurrency: number;
  /** Deliveries a run: the hosted runtime gives a request two seconds of processor time. */
  maximum: number;
  /** Seconds that a claim lasts. */
  lease: number;
  /** The most that an attempt takes, in milliseconds. */
  attemptTimeout: number;
  /** For how long the run looks again after everything due is delivered, in milliseconds. */
  wait: number;
  /** Milliseconds between two looks. */
  interval: number;
  signal?: AbortSignal;
}

export const defaultLimits: Omit<RunLimits, "worker"> = {
  batch: 100,
  concurrency: 32,
  maximum: 1000,
  lease: 60,
  attemptTimeout: 20_000,
  wait: 0,
  interval: 100,
};

/** What a run did. */
export interface RunReport {
  claimed: number;
  delivered: number;
  failed: number;
}

/** Deliveries that go one after the other: those of one key, or a single one. */
type Lane = { endpoint: SealedEndpoint; deliveries: ClaimedDelivery[]; startBefore: number };

/** Runs until nothing is due, the limits are reached or the signal is given. */
export async function run(work: Work, limits: RunLimits): Promise<RunReport> {
  const report: RunReport = { claimed: 0, delivered: 0, failed: 0 };
  const until = performance.now() + limits.wait;
  const results = openRecorder(work.queue, report, limits.lease * 1000);
  const opened = new Map<string, Promise<OpenEndpoint>>();
  const lanes: Lane[] = [];
  let active = 0;
  /** By endpoint, the attempts under way. */
  const busy = new Map<string, number>();
  /** By endpoint, the lanes that wait. */
  const waiting = new Map<string, number>();
  const count = (counts: Map<string, number>, id: string, change: number) =>
    counts.set(id, (counts.get(id) ?? 0) + change);
  const waitingFor = (id: string) => waiting.get(id) ?? 0;
  /** Endpoints of which so many wait that no more are wanted: however many hang, others get through. */
  const enough = () => [...waiting.keys()].filter((id) => waitingFor(id) >= limits.batch);

  const open = (endpoint: SealedEndpoint) => {
    // Sealed anew is another endpoint: its address or its secrets changed.
    const key = JSON.stringify([endpoint.id, endpoint.destination, endpoint.secrets]);
    const known = opened.get(key) ?? work.open(endpoint);
    opened.set(key, known);
    return known;
  };
  const drive = async ({ endpoint, deliveries, startBefore }: Lane) => {
    let blocked = false;
    for (const delivery of deliveries) {
      const named = { delivery_id: delivery.id, attempt_id: delivery.attempt_id };
      if (blocked || performance.now() > startBefore || limits.signal?.aborted) {
        blocked = true;
        results.add(named);
        continue;
      }
      const result = await open(endpoint).then(
        (endpoint) => work.attempt(delivery, endpoint),
        (thrown) => ({ ...named, ...unopened(thrown) }),
      );
      results.add(result);
      blocked = result.outcome !== "delivered";
    }
  };

  // An endpoint may have as many attempts under way as there is room for more: however many of them
  // hang, there is always room for the others.
  const nextLane = () => {
    const free = limits.concurrency - active;
    const index = lanes.findIndex(({ endpoint }) => (busy.get(endpoint.id) ?? 0) < free);
    const [lane] = index < 0 ? [] : lanes.splice(index, 1);
    if (lane) {
      count(waiting, lane.endpoint.id, -1);
      if (waitingFor(lane.endpoint.id) === limits.batch - 1) lookAgainAt = 0;
    }
    return lane;
  };
  let lookAgainAt = 0;
  let wake = () => {};
  const pump = () => {
    for (let lane = nextLane(); lane; lane = nextLane()) {
      const { id } = lane.endpoint;
      count(busy, id, 1);
      active++;
      drive(lane).finally(() => {
        count(busy, id, -1);
        active--;
        pump();
        if (active === 0 || waitingFor(id) < limits.batch) wake();
      });
    }
  };

  let failure: unknown;
  let claiming = false;
  const claim = async () => {
    claiming = true;
    const startBefore = performance.now() + limits.lease * 1000 - limits.attemptTimeout;
    const { worker, lease, only } = limits;
    const maximum = Math.min(limits.batch, limits.maximum - report.claimed);
    const full = enough();
    try {
      const got = await work.queue.claim({ worker, maximum, lease, busy: full, only });
      report.claimed += got.deliveries.length;
      for (const lane of lanesOf(got.deliveries, got.endpoints, startBefore)) {
        lanes.push(lane);
        count(waiting, lane.endpoint.id, 1);
      }
      // Nothing but what it was not asked for may be due: that is to be had as soon as it is wanted.
      const nothing = got.deliveries.length === 0 && full.length === 0;
      if (nothing || enough().length > 0) lookAgainAt = performance.now() + limits.interval;
    } catch (thrown) {
      failure = thrown;
    }
    claiming = false;
    pump();
    wake();
  };

  // A lease that runs out and a signal are looked at between two attempts, too.
  const ticking = setInterval(() => wake(), limits.interval);
  for (;;) {
    const woken = new Promise<void>((resolve) => wake = resolve);
    const stopping = failure !== undefined || limits.signal?.aborted ||
      report.claimed >= limits.maximum;
    // What waits of an endpoint that has enough waits for that one; others may have something due.
    const scarce = [...waiting.values()].filter((lanes) => lanes < limits.batch);
    const wanted = scarce.reduce((sum, lanes) => sum + lanes, 0) < limits.batch;
    if (!stopping && !claiming && wanted && performance.now() >= lookAgainAt) claim();
    if (claiming || active > 0 || lanes.length > 0) {
      await woken;
      continue;
    }
    await results.flush().catch((thrown) => failure ??= thrown);
    if (stopping || failure || limits.only || performance.now() >= until) break;
    await pause(limits.interval, limits.signal);
  }
  clearInterval(ticking);
  if (failure) throw failure;
  return report;
}

/** Why an endpoint was not opened, without the words of whatever went wrong inside. */
function unopened(thrown: unknown): Pick<AttemptResult, "outcome" | "response"> {
  const refused = thrown instanceof AddressRefused || thrown instanceof BulwarkError;
  return refused
    ? { outcome: "forbidden", response: "the address is not allowed" }
    : { outcome: "unreadable", response: "the address or a secret cannot be decrypted" };
}

function lanesOf(
  deliveries: ClaimedDelivery[],
  endpoints: SealedEndpoint[],
  startBefore: number,
): Lane[] {
  const byId = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
  const ordered = new Map<string, Lane>();
  const lanes: Lane[] = [];
  for (const delivery of deliveries) {
    const endpoint = byId.get(delivery.endpoint_id);
    // Deleted since: the claim lapses, and pruning takes the rest.
    if (!endpoint) continue;
    const key = delivery.ordering_key === null ? null : `${endpoint.id}/${delivery.ordering_key}`;
    const lane = key === null ? undefined : ordered.get(key);
    if (lane) {
      lane.deliveries.push(delivery);
      continue;
    }
    const fresh = { endpoint, deliveries: [delivery], startBefore };
    lanes.push(fresh);
    if (key !== null) ordered.set(key, fresh);
  }
  return lanes;
}

/**
 * Hands results to the database in batches and soon: what was delivered and not yet told is
 * delivered again when the worker dies. A database that is away is asked again until the lease
 * has ended; from then on the result would come too late.
 */
function openRecorder(queue: WebhookQueue, report: RunReport, lease: number) {
  const soon = 100;
  const many = 100;
  let waiting: AttemptResult[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let sending: Promise<void> = Promise.resolve();
  let failure: unknown;
  const tell = async (batch: AttemptResult[]) => {
    const giveUpAt = performance.now() + lease;
    for (let wait = 100;; wait = Math.min(wait * 2, 5000)) {
      try {
        return await queue.complete(batch);
      } catch (thrown) {
        if (performance.now() + wait > giveUpAt) throw thrown;
        await pause(wait);
      }
    }
  };
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    const batch = waiting;
    waiting = [];
    if (batch.length > 0) {
      sending = sending.then(() => tell(batch)).catch((thrown) => {
        failure ??= thrown;
      });
    }
    return sending;
  };
  return {
    add(result: AttemptResult) {
      if (result.outcome === "delivered") report.delivered++;
      else if (result.outcome) report.failed++;
      waiting.push(result);
      if (waiting.length >= many) flush();
      else timer ??= setTimeout(flush, soon);
    },
    /** Waits until everything is told. @throws what the database answered, if it would not listen */
    async flush() {
      await flush();
      if (failure) throw failure;
    },
  };
}

function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
  });
}
