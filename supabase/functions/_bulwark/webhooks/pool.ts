import { type Connection, quietlyClose } from "./connection.ts";

/** Idle connections, reused by requests of the same owner to the same origin. */
export interface Pool {
  /** Takes an idle connection; its address was checked when it was opened. */
  take(key: string): Connection | undefined;
  /**
   * Keeps a connection whose last answer was read completely, for at most this many milliseconds.
   */
  give(key: string, connection: Connection, keepFor?: number): void;
  close(): void;
}

/** Older idle connections are likely to be closed by the receiver. */
const idleMilliseconds = 1000;

/** A pool for one run of a worker. */
export function openPool(now: () => number = () => performance.now()): Pool {
  const idle = new Map<string, { connection: IdleConnection; until: number }[]>();
  return {
    take(key) {
      const kept = idle.get(key);
      for (let last = kept?.pop(); last; last = kept?.pop()) {
        if (now() < last.until && !last.connection.hasSpoken) return last.connection;
        last.connection.close();
      }
      return undefined;
    },
    give(key, connection, keepFor = idleMilliseconds) {
      const until = now() + Math.min(keepFor, idleMilliseconds);
      if (until <= now()) return quietlyClose(connection);
      const one = { connection: new IdleConnection(connection), until };
      const kept = idle.get(key);
      if (kept) kept.push(one);
      else idle.set(key, [one]);
    },
    close() {
      for (const kept of idle.values()) for (const { connection } of kept) connection.close();
      idle.clear();
    },
  };
}

/**
 * An idle connection. It is read from all the time, to notice its end or unexpected data before it
 * is reused.
 */
class IdleConnection implements Connection {
  hasSpoken = false;
  readonly #connection: Connection;
  readonly #chunk = new Uint8Array(2048);
  #first: Promise<number | null> | undefined;
  #left: Uint8Array = new Uint8Array(0);

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#first = connection.read(this.#chunk).finally(() => this.hasSpoken = true);
    // A read error is reported at the next use.
    this.#first.catch(() => {});
  }

  async read(into: Uint8Array): Promise<number | null> {
    if (this.#first) {
      const first = this.#first;
      this.#first = undefined;
      const count = await first;
      if (count === null) return null;
      this.#left = this.#chunk.subarray(0, count);
    }
    if (this.#left.length === 0) return await this.#connection.read(into);
    const taken = this.#left.subarray(0, into.length);
    into.set(taken);
    this.#left = this.#left.subarray(taken.length);
    return taken.length;
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#connection.write(bytes);
  }

  close(): void {
    quietlyClose(this.#connection);
  }
}
