/** A call was not sent, failed, or timed out. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/** A call timed out. Its answer may still arrive. */
export class Late<T = unknown> extends Unavailable {
  constructor(message: string, readonly answer: Promise<T>) {
    super(message);
    answer.catch(() => {});
  }
}

/**
 * How an error affects the breaker:
 * - answer: not at all; the server works and refused one command
 * - doubt: several in a row open it, as timeouts do
 * - outage: it opens at once
 */
export type Verdict = "answer" | "doubt" | "outage";

/** Options of a {@link Breaker}. */
export interface BreakerOptions {
  /** Timeout of a call. */
  timeoutMs: number;
  /** Checks whether the server works again; rejects if not. Must end in bounded time. */
  probe: () => Promise<unknown>;
  /** Classifies an error; as an outage by default. */
  judge?: (thrown: unknown) => Verdict;
  /** Number of doubts in a row that open it. */
  doubts?: number;
  /** The first and the longest pause while it is open, in milliseconds; pauses double. */
  pause?: number;
  longestPause?: number;
  /** Called when it opens and after each probe that fails. */
  onFailure?: (cause: unknown) => void;
  /** Called when calls are answered again. */
  onRecovery?: () => void;
  /** The clock for pauses, in milliseconds. */
  now?: () => number;
}

/** A call that waits for its answer. */
interface Waiting {
  until: number;
  giveUp(): void;
}

/**
 * A circuit breaker with a timeout for each call. While it is open, calls fail at once. After a pause
 * the next call starts a probe in the background, and calls are sent again only when that has
 * succeeded: no caller waits for a server that may still be away.
 */
export class Breaker {
  readonly #options: Required<BreakerOptions>;
  #open = false;
  #openUntil = 0;
  #pause: number;
  #probing = false;
  /** Since it opened no call was answered yet, even if a probe was. */
  #failing = false;
  #doubts = 0;
  #lastDoubt = -Infinity;
  readonly #waiting = new Set<Waiting>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watchedUntil = Infinity;

  constructor(options: BreakerOptions) {
    this.#options = {
      doubts: 3,
      pause: 500,
      longestPause: 3000,
      judge: () => "outage",
      onFailure: () => {},
      onRecovery: () => {},
      now: () => performance.now(),
      ...options,
    };
    this.#pause = this.#options.pause;
  }

  /** Whether calls are refused. */
  get isOpen(): boolean {
    return this.#open;
  }

  /**
   * Makes a call. Rejects with {@link Unavailable} if it is not sent or fails, with {@link Late} if it
   * times out, and with nothing else.
   */
  call<T>(
    task: () => Promise<T>,
    { timeoutMs = this.#options.timeoutMs, doubts = this.#options.doubts }: {
      timeoutMs?: number;
      doubts?: number;
    } = {},
  ): Promise<T> {
    if (this.#open) {
      this.#tryProbe();
      return Promise.reject(new Unavailable("not tried: it failed before"));
    }
    return new Promise((resolve, reject) => {
      const since = performance.now();
      const answer = task();
      const waiting: Waiting = {
        until: since + timeoutMs,
        giveUp: () => {
          this.#waiting.delete(waiting);
          const late = new Late(`no answer within ${timeoutMs} ms`, answer);
          this.#doubted(since, late, doubts);
          reject(late);
        },
      };
      this.#waiting.add(waiting);
      this.#watch(waiting.until);
      answer.then(
        (result) => {
          if (!this.#waiting.delete(waiting)) return;
          this.#answered();
          resolve(result);
        },
        (thrown) => {
          if (!this.#waiting.delete(waiting)) return;
          const verdict = this.#options.judge(thrown);
          if (verdict === "answer") this.#answered();
          else if (verdict === "doubt") this.#doubted(since, thrown, doubts);
          else this.#failed(thrown);
          const message = thrown instanceof Error ? thrown.message : String(thrown);
          reject(new Unavailable(message, { cause: thrown }));
        },
      );
    });
  }

  #answered(): void {
    // This call was sent before the breaker opened, so its answer proves nothing now.
    if (this.#open) return;
    this.#doubts = 0;
    if (!this.#failing) return;
    this.#failing = false;
    this.#pause = this.#options.pause;
    this.#options.onRecovery();
  }

  /** Counts a doubt. Calls that ran at the same time count as one. */
  #doubted(since: number, cause: unknown, doubts: number): void {
    if (this.#open || since < this.#lastDoubt) return;
    this.#lastDoubt = performance.now();
    if (++this.#doubts >= doubts) this.#failed(cause);
  }

  #failed(cause: unknown): void {
    if (this.#open) return;
    this.#open = true;
    this.#doubts = 0;
    this.#rest(this.#failing, cause);
    this.#failing = true;
  }

  /** Starts the next pause; after a failed probe it is longer than the last one. */
  #rest(again: boolean, cause: unknown): void {
    const { longestPause, now, onFailure } = this.#options;
    if (again) this.#pause = Math.min(this.#pause * 2, longestPause);
    this.#openUntil = now() + this.#pause * (0.75 + Math.random() / 2);
    onFailure(cause);
  }

  #tryProbe(): void {
    if (this.#probing || this.#options.now() < this.#openUntil) return;
    this.#probing = true;
    this.#options.probe().then(
      () => {
        this.#probing = false;
        this.#open = false;
      },
      (thrown) => {
        this.#probing = false;
        this.#rest(true, thrown);
      },
    );
  }

  /** One timer for all calls: a timer for each would cost more than the call itself. */
  #watch(until: number): void {
    if (until >= this.#watchedUntil) return;
    clearTimeout(this.#timer);
    this.#watchedUntil = until;
    this.#timer = setTimeout(() => {
      this.#watchedUntil = Infinity;
      const now = performance.now();
      let next = Infinity;
      for (const waiting of this.#waiting) {
        if (waiting.until <= now) waiting.giveUp();
        else next = Math.min(next, waiting.until);
      }
      this.#watch(next);
    }, Math.max(0, until - performance.now()));
  }
}
