import type { AttemptResult } from "./attempt.ts";
import type { WebhookQueue } from "./queue.ts";

/** Result of a run. */
export interface RunReport {
  claimed: number;
  delivered: number;
  failed: number;
}

/** Collects results for the database. */
export interface Recorder {
  add(result: AttemptResult): void;
  /** Waits until all results are recorded. @throws the database's error if that failed */
  flush(): Promise<void>;
}

/**
 * Sends results to the database in small batches: an unrecorded delivery is repeated if the worker
 * dies. Retries until the lease has ended, after which the results would be ignored.
 */
export function openRecorder(
  queue: WebhookQueue,
  report: RunReport,
  lease: number,
): Recorder {
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
    async flush() {
      await flush();
      if (failure) throw failure;
    },
  };
}

/** Waits until the time has passed or the signal is given. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
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
