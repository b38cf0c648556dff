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
  now?: () => number;
}

/**
 * A circuit breaker: bounds how long a call is waited for, and makes none for a while after several
 * failed in a row. Then one call tries, and only its success lets the others through again.
 */
export class Breaker {
  readonly #options: Required<BreakerOptions>;
  #failed = 0;
  #openUntil = 0;
  #pause: number;
  #trying = false;

  constructor(options: BreakerOptions) {
    this.#options = { failures: 3, pause: 500, longestPause: 15_000, now: Date.now, ...options };
    this.#pause = this.#options.pause;
  }

  /** Whether a call would be refused right now. */
  get isOpen(): boolean {
    if (this.#failed < this.#options.failures) return false;
    return this.#trying || this.#options.now() < this.#openUntil;
  }

  /**
   * Makes a call.
   * @throws Unavailable when it fails, takes too long, or is not made at all
   */
  async call<T>(task: () => Promise<T>): Promise<T> {
    if (this.isOpen) throw new Unavailable("not tried: it failed several times in a row");
    const trial = this.#failed >= this.#options.failures;
    if (trial) this.#trying = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = () => reject(new Unavailable(`no answer in ${this.#options.timeout} ms`));
      timer = setTimeout(error, this.#options.timeout);
    });
    try {
      const result = await Promise.race([task(), late]);
      this.#failed = 0;
      this.#pause = this.#options.pause;
      return result;
    } catch (thrown) {
      this.#failed++;
      if (this.#failed >= this.#options.failures) {
        this.#openUntil = this.#options.now() + this.#pause * (0.75 + Math.random() / 2);
        if (trial) this.#pause = Math.min(this.#pause * 2, this.#options.longestPause);
      }
      if (thrown instanceof Unavailable) throw thrown;
      throw new Unavailable(thrown instanceof Error ? thrown.message : String(thrown));
    } finally {
      clearTimeout(timer);
      if (trial) this.#trying = false;
    }
  }
}
