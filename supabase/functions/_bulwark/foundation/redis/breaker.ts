/** A call that was not made, that failed, or whose answer took too long. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/** The answer took too long for the caller. It may still arrive. */
export class Late<T = unknown> extends Unavailable {
  constructor(message: string, readonly answer: Promise<T>) {
    super(message);
    answer.catch(() => {});
  }
}

/**
 * - answer: the server refused one command and is well
 * - doubt: as a timeout; it opens after several in a row
 * - outage: it opens at once
 */
export type Verdict = "answer" | "doubt" | "outage";

/** How a {@link Breaker} judges. */
export interface BreakerOptions {
  /** How long a call may take, in milliseconds. */
  timeout: number;
  /** Asks the server whether it is well again. Rejects where it is not, and ends in bounded time. */
  probe: () => Promise<unknown>;
  /** How an error is judged; as an outage by default. */
  judge?: (thrown: unknown) => Verdict;
  /** After so many doubts in a row it opens. */
  doubts?: number;
  /** How long it stays open at first and at most, in milliseconds; it doubles in between. */
  pause?: number;
  longestPause?: number;
  /** Called when it opens and after each probe that fails. */
  onFailure?: (cause: unknown) => void;
  /** Called when calls are answered again. */
  onRecovery?: () => void;
  /** The clock for pauses, in milliseconds. */
  now?: () => number;
}

/** A call whose answer is awaited. */
interface Waiting {
  until: number;
  giveUp(): void;
}

/**
 * A circuit breaker. It bounds how long a call is waited for. While it is open it makes no calls.
 * After a pause the next call starts a probe in the background, and only when that succeeds are
 * calls made again: no caller waits for a server that may still be away.
 */
export class Breaker {
  readonly #options: Required<BreakerOptions>;
  #open = false;
  #openUntil = 0;
  #pause: number;
  #probing = false;
  /** From the moment it opens until a call is answered: a probe that succeeds may not be enough. */
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
   * Makes a call. Rejects with {@link Unavailable} when it is not made or fails, with {@link Late}
   * when it takes too long, and with nothing else.
   */
  call<T>(
    task: () => Promise<T>,
    { timeout = this.#options.timeout, doubts = this.#options.doubts }: {
      timeout?: number;
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
        until: since + timeout,
        giveUp: () => {
          this.#waiting.delete(waiting);
          const late = new Late(`no answer within ${timeout} ms`, answer);
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
    // An answer to a call of before it opened says nothing of the server as it is now.
    if (this.#open) return;
    this.#doubts = 0;
    if (!this.#failing) return;
    this.#failing = false;
    this.#pause = this.#options.pause;
    this.#options.onRecovery();
  }

  /** Calls that were under way together fail together: that is one doubt, not many. */
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

  /** Stays open for the next pause, which is longer where the last one was not enough. */
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

  /** One timer watches all calls: one for each would cost more than the call itself. */
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
