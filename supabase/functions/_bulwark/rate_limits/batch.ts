import { storeTimeoutMs } from "./limiter.ts";

/** Limits of a batcher. */
export interface BatchLimits {
  /** Calls in one batch. */
  size: number;
  /** Batches at the same time. */
  concurrency: number;
  /** After this a call fails, queued or running. */
  timeoutMs: number;
}

/** A call that waits for its answer. */
interface Waiting<Call, Answer> {
  call: Call;
  since: number;
  resolve(answer: Answer | Promise<Answer>): void;
  reject(reason: unknown): void;
}

/**
 * Batches calls. The calls of one turn of the event loop are divided over the batches that may run at
 * the same time. Further calls are queued for the next batch; no call is delayed to fill one. `ask`
 * returns an answer or a promise for each call, in their order; if it fails, all of its calls fail.
 * A batch without an answer for longer than the limit fails at the next call and frees its place.
 */
export function batch<Call, Answer>(
  ask: (calls: Call[]) => Promise<(Answer | Promise<Answer>)[]>,
  limits: BatchLimits = { size: 100, concurrency: 2, timeoutMs: storeTimeoutMs },
): (call: Call) => Promise<Answer> {
  const queue: Waiting<Call, Answer>[] = [];
  const running = new Set<{ since: number; calls: Waiting<Call, Answer>[] }>();
  let due = false;

  async function next(): Promise<void> {
    // One batch of all calls would leave either this process or the server idle.
    const share = Math.ceil(queue.length / (limits.concurrency - running.size));
    const calls = queue.splice(0, Math.min(share, limits.size));
    const current = { since: performance.now(), calls };
    running.add(current);
    try {
      const answers = await ask(calls.map(({ call }) => call));
      // The batch has timed out: its answers, and failures among them, are ignored.
      if (!running.has(current)) return void Promise.allSettled(answers);
      for (const [index, { resolve, reject }] of calls.entries()) {
        if (index < answers.length) resolve(answers[index]!);
        else reject(new Error("an answer is missing"));
      }
    } catch (thrown) {
      for (const { reject } of calls) reject(thrown);
    }
    running.delete(current);
    if (queue.length > 0) soon();
  }

  /** Fails calls that took too long, so that they block no others and are not charged later. */
  function expire(): void {
    const since = performance.now() - limits.timeoutMs;
    const late: Waiting<Call, Answer>[] = [];
    for (const current of running) {
      if (current.since > since) continue;
      running.delete(current);
      late.push(...current.calls);
    }
    const first = queue.findIndex((call) => call.since > since);
    late.push(...queue.splice(0, first === -1 ? queue.length : first));
    for (const { reject } of late) reject(new Error(`no answer within ${limits.timeoutMs} ms`));
  }

  function soon(): void {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      expire();
      while (queue.length > 0 && running.size < limits.concurrency) void next();
    });
  }

  return (call) =>
    new Promise((resolve, reject) => {
      queue.push({ call, since: performance.now(), resolve, reject });
      soon();
    });
}

/**
 * {@link batch} for each key separately: one batch at a time for a key, whatever the others do. A key
 * is forgotten when none of its calls waits.
 */
export function batchPerKey<Call, Answer>(
  ask: (calls: Call[]) => Promise<Answer[]>,
  limits: BatchLimits = { size: 1000, concurrency: 1, timeoutMs: storeTimeoutMs },
): (key: string, call: Call) => Promise<Answer> {
  const known = new Map<string, { ask: (call: Call) => Promise<Answer>; waiting: number }>();
  return async (key, call) => {
    const batcher = known.get(key) ?? { ask: batch(ask, limits), waiting: 0 };
    known.set(key, batcher);
    batcher.waiting++;
    try {
      return await batcher.ask(call);
    } finally {
      if (--batcher.waiting === 0) known.delete(key);
    }
  };
}
