/** What kept a call from being made or from ending in time. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/** How a {@link Breaker} judges. */
export interface BreakerOptions {
  /** How long a call may take, in milliseconds. */
  timeout: number;
  /** How many calls in a row have to fail before it opens. */
  failures?: number;
  /** How long it stays open at first and at most, in milliseconds; it doubles in between. */
  pause?: number;
  longestPause?: number;
  /** Whether what was thrown is an answer: whoever refuses is there. */
  isAnswer?: (thrown: unknown) => boolean;
  /** For how long it is open, in milliseconds: a clock that nobody sets. */
  now?: () => number;
}

/** A call that is waited for. */
interface Waiting {
  until: number;
  giveUp(): void;
}

/**
 * A circuit breaker: bounds how long a call is waited for, and makes none for a while after several
 * failed in a row. Then one call tries, and only its success lets the others through again.
 */
export class Breaker {
  readonly #options: Required<BreakerOptions>;
  #failures = 0;
  #openUntil = 0;
  #pause: number;
  #trying = false;
  /** In the order of their ends, because all may take equally long. */
  readonly #waiting = new Set<Waiting>();
  #watched = false;

  constructor(options: BreakerOptions) {
    this.#options = {
      failures: 3,
      pause: 500,
      longestPause: 15_000,
      isAnswer: () => false,
      now: () => performance.now(),
      ...options,
    };
    this.#pause = this.#options.pause;
  }

  /** Whether a call would be refused right now. */
  get isOpen(): boolean {
    if (this.#failures < this.#options.failures) return false;
    return this.#trying || this.#options.now() < this.#openUntil;
  }

  /**
   * Makes a call. Rejects with {@link Unavailable} when it fails, takes too long, or is not made.
   */
  call<T>(task: () => Promise<T>): Promise<T> {
    if (this.isOpen) {
      return Promise.reject(new Unavailable("not tried: it failed several times in a row"));
    }
    const trial = this.#failures >= this.#options.failures;
    if (trial) this.#trying = true;
    return new Promise((resolve, reject) => {
      const { timeout, isAnswer } = this.#options;
      const waiting: Waiting = {
        until: performance.now() + timeout,
        giveUp: () => {
          this.#waiting.delete(waiting);
          this.#failed(trial);
          reject(new Unavailable(`no answer in ${timeout} ms`));
        },
      };
      this.#waiting.add(waiting);
      if (!this.#watched) this.#watch(timeout);
      task().then(
        (result) => {
          if (!this.#waiting.delete(waiting)) return;
          this.#answered(trial);
          resolve(result);
        },
        (thrown) => {
          if (!this.#waiting.delete(waiting)) return;
          if (isAnswer(thrown)) this.#answered(trial);
          else this.#failed(trial);
          reject(new Unavailable(thrown instanceof Error ? thrown.message : String(thrown)));
        },
      );
    });
  }

  #answered(trial: boolean): void {
    this.#failures = 0;
    this.#pause = this.#options.pause;
    if (trial) this.#trying = false;
  }

  #failed(trial: boolean): void {
    if (trial) this.#trying = false;
    if (++this.#failures < this.#options.failures) return;
    this.#openUntil = this.#options.now() + this.#pause * (0.75 + Math.random() / 2);
    if (trial) this.#pause = Math.min(this.#pause * 2, this.#options.longestPause);
  }

  /** One timer watches all calls: one for each would cost more than the call itself. */
  #watch(duration: number): void {
    this.#watched = true;
    setTimeout(() => {
      this.#watched = false;
      const now = performance.now();
      for (const waiting of this.#waiting) {
        if (waiting.until > now) return this.#watch(waiting.until - now);
        waiting.giveUp();
      }
    }, duration);
  }
}
