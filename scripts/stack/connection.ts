import postgres from "postgres";

/** A pool of connections; `sql\`...\`` runs one statement with bound parameters. */
export type Sql = postgres.Sql;

/** Seconds until a lost connection is tried again: the driver's own would grow to 20. */
export const backoff = (attempts: number): number => Math.min(0.1 * attempts, 1);

/**
 * Opens a pool. Notices are not printed: they are migrations talking to themselves. `end()` waits
 * 5 s for statements under way: the driver's own would wait forever for a connection that was lost
 * while it had one.
 */
export function connect(url: string, options: { max?: number } = {}): Sql {
  const max = options.max ?? 1;
  const sql = postgres(url, { max, onnotice: () => {}, connect_timeout: 10, backoff });
  const end = sql.end.bind(sql);
  return Object.assign(sql, { end: (options = {}) => end({ timeout: 5, ...options }) });
}

/** Whether the network, the driver (`CONNECTION_CLOSED`) or a server that stops or starts failed. */
export function isConnectionError(thrown: unknown): thrown is Error & { code: string } {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" &&
    /^(ECONN[A-Z]+|EPIPE|ETIMEDOUT|CONNECTION_[A-Z]+|CONNECT_TIMEOUT|57P0[123])$/.test(thrown.code);
}

/** The events of lost connections that a guard has dealt with. */
export const guarded = new WeakSet<Event>();

/** Keeps the process alive, and nobody waiting, where connections are lost. */
export interface ConnectionGuard {
  /** Resolves as the work does; rejects where the driver may have lost the work's query. */
  during<Result>(work: Promise<Result>): Promise<Result>;
  stop(): void;
}

/**
 * Guards against two things that the driver does when a connection ends. It rejects promises of its
 * own that nobody waits for. And it writes the next statement of a transaction to a socket that is
 * gone: that throws outside of any promise, and the statement never ends.
 */
export function guardConnections(): ConnectionGuard {
  let lost = Promise.withResolvers<never>();
  const lose = (event: Event) => {
    event.preventDefault();
    guarded.add(event);
    console.error("database: connection lost, connecting again");
    lost.promise.catch(() => {});
    lost.reject(Object.assign(new Error("connection lost"), { code: "CONNECTION_CLOSED" }));
    lost = Promise.withResolvers<never>();
  };
  const onRejection = (event: PromiseRejectionEvent) => {
    if (isConnectionError(event.reason)) lose(event);
  };
  const onError = (event: ErrorEvent) => {
    const { error } = event;
    if (error instanceof TypeError && error.stack?.includes("/postgres/src/connection.js")) {
      lose(event);
    }
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  globalThis.addEventListener("error", onError);
  return {
    during: (work) => Promise.race([work, lost.promise]),
    stop() {
      globalThis.removeEventListener("unhandledrejection", onRejection);
      globalThis.removeEventListener("error", onError);
    },
  };
}
