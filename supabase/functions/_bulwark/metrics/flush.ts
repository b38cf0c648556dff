import type { Sample } from "./histogram.ts";
import type { Metrics } from "./registry.ts";

/** A batch of samples. The database counts each id once, so it can be sent again. */
export interface Batch {
  id: string;
  samples: Sample[];
}

/** The database will never accept this batch, so it must not be sent again. */
export class Refused extends Error {
  override readonly name = "Refused";
}

export interface FlusherOptions {
  /** Stores a batch; rejects with {@link Refused} if it can never be stored. May be repeated. */
  send(batch: Batch): Promise<void>;
  /** Milliseconds between the first value and the flush. */
  delay: number;
  /** Called before each flush, to sample gauges. */
  sample?(): void;
  /** Called once with all values of a flush; must not throw. */
  drained?(samples: readonly Sample[]): void;
  log?(line: string): void;
}

/** Samples in one batch; the database accepts 5,000. */
const batchSize = 2000;
/** Unsent batches that are kept. */
const maxKept = 20;
/** The database knows ids for an hour; a later repetition would count twice. */
const keptMilliseconds = 50 * 60_000;

interface Kept extends Batch {
  since: number;
}

/**
 * Sends recorded values after the response, some time after the first one. On the hosted runtime
 * `EdgeRuntime.waitUntil` keeps the isolate alive for it.
 */
export class Flusher {
  readonly #metrics: Metrics;
  readonly #options: FlusherOptions;
  #waiting: Promise<void> | null = null;
  #sending: Promise<void> = Promise.resolve();
  #kept: Kept[] = [];
  #failures = 0;

  constructor(metrics: Metrics, options: FlusherOptions) {
    this.#metrics = metrics;
    this.#options = options;
  }

  /** Flushes after the delay, unless a flush is scheduled already. Never rejects. */
  soon(): void {
    if (this.#waiting) return;
    this.#waiting = pause(this.#options.delay).then(() => {
      this.#waiting = null;
      return this.flush();
    });
    waitUntil(this.#waiting);
  }

  /** Sends everything now; failed batches are kept for the next flush. Never rejects. */
  flush(): Promise<void> {
    this.#sending = this.#sending.then(() => this.#send());
    return this.#sending;
  }

  async #send(): Promise<void> {
    if (this.#metrics.isEmpty && this.#kept.length === 0) return;
    this.#options.sample?.();
    const samples = this.#metrics.drain();
    this.#options.drained?.(samples);
    const since = performance.now();
    for (let start = 0; start < samples.length; start += batchSize) {
      const id = crypto.randomUUID();
      this.#kept.push({ id, since, samples: samples.slice(start, start + batchSize) });
    }
    const stale = this.#kept.filter((batch) => since - batch.since > keptMilliseconds).length;
    const excess = Math.max(stale, this.#kept.length - maxKept);
    for (const batch of this.#kept.splice(0, excess)) this.#lose(batch);
    while (this.#kept[0]) {
      try {
        await this.#options.send(this.#kept[0]);
        this.#failures = 0;
      } catch (thrown) {
        if (++this.#failures === 3 || thrown instanceof Refused) {
          this.#options.log?.(`metrics are not stored: ${thrown}`);
        }
        if (!(thrown instanceof Refused)) return;
        this.#lose(this.#kept[0]);
      }
      this.#kept.shift();
    }
  }

  #lose({ samples }: Batch): void {
    this.#metrics.drop(samples.reduce((sum, { count }) => sum + count, 0));
  }
}

/** Keeps a hosted isolate alive until a promise has settled. */
export function waitUntil(promise: Promise<unknown>): void {
  const runtime = (globalThis as { EdgeRuntime?: { waitUntil?(promise: unknown): void } })
    .EdgeRuntime;
  runtime?.waitUntil?.(promise);
}

/** Waits without keeping the process alive. */
function pause(duration: number): Promise<void> {
  return new Promise((resolve) => Deno.unrefTimer(setTimeout(resolve, duration)));
}
