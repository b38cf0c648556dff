import type { BulwarkError } from "./error.ts";
import type { Result } from "./result.ts";

/** The last answer; `data` is undefined while there is none. */
export interface Known<Value> {
  readonly data: Value | undefined;
  readonly error: BulwarkError | null;
}

/** Asks for a value; with the version that is known, `value` is null while nothing has changed. */
export type Question<Value> = (
  version: string | undefined,
) => Promise<Result<{ value: Value | null; version: string }>>;

/** A value that everybody who needs it shares: one request for all of them. */
export class Watch<Value> {
  #known: Known<Value> = { data: undefined, error: null };
  #version: string | undefined;
  #asked = 0;
  #answeredAt = 0;
  readonly #listeners = new Set<() => void>();
  readonly #question: Question<Value>;
  readonly #interval: number;

  /** `interval`: after so many milliseconds without listeners the value is forgotten. */
  constructor(question: Question<Value>, interval: number) {
    this.#question = question;
    this.#interval = interval;
  }

  readonly known = (): Known<Value> => this.#known;

  readonly subscribe = (listener: () => void): () => void => {
    if (this.#listeners.size === 0) {
      if (Date.now() - this.#answeredAt > this.#interval) this.#forget(null);
      void this.ask();
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Asks again. Of answers that overtake each other, the one to the last question counts. */
  async ask(): Promise<void> {
    const number = ++this.#asked;
    const { data, error } = await this.#question(this.#version);
    if (number !== this.#asked) return;
    this.#answeredAt = Date.now();
    if (error) {
      // Without the server, the last answer is the best one. A refusal takes it away.
      if (error.status === 0 || error.status >= 500) this.#known = { ...this.#known, error };
      else this.#forget(error);
    } else {
      this.#version = data.version;
      if (data.value !== null) this.#known = { data: data.value, error: null };
      else if (this.#known.error) this.#known = { ...this.#known, error: null };
      else return;
    }
    for (const listener of this.#listeners) listener();
  }

  #forget(error: BulwarkError | null): void {
    this.#version = undefined;
    this.#known = { data: undefined, error };
  }
}
