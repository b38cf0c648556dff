import type { AttemptResult } from "./attempt.ts";
import type { WebhookQueue } from "./queue.ts";

/** The result of a run. */
export interface RunReport {
  claimed: number;
  delivered: number;
  failed: number;
}

/** Takes results on their way to the database. */
export interface Recorder {
  add(result: AttemptResult): void;
  /** Waits until everything is told. @throws what the database answered, if it would not listen */
  flush(): Promise<void>;
}

/**
 * Hands results to the database in batches and soon: what was delivered and not yet told is
 * delivered again when the worker dies. A database that is away is asked again until the lease
 * has ended; from then on the result would come too late.
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

/** Waits, or until the signal. */
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
