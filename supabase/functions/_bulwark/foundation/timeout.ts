/** How long a promise is waited for. */
export interface TimeoutOptions<Value> {
  timeoutMs: number;
  /** Called when the time is up: gives the value instead, or throws. By default it throws an Error. */
  fallback?: () => Value;
  /** Ends the time before it is up. */
  signal?: AbortSignal | undefined;
}

/** The outcome of a promise, or of `fallback` when it takes too long. The promise is not cancelled. */
export async function withTimeout<Value>(
  promise: Promise<Value>,
  { timeoutMs, fallback = () => fail(timeoutMs), signal }: TimeoutOptions<Value>,
): Promise<Value> {
  const expired = Promise.withResolvers<void>();
  const timer = setTimeout(expired.resolve, Math.max(0, timeoutMs));
  const expire = () => expired.resolve();
  signal?.addEventListener("abort", expire);
  if (signal?.aborted) expire();
  try {
    return await Promise.race([promise, expired.promise.then(fallback)]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", expire);
  }
}

function fail(timeoutMs: number): never {
  throw new Error(`no answer within ${timeoutMs} ms`);
}

/** A `fetch` that is aborted after `timeoutMs`, while it reads the body too, and by the caller's own signal. */
export function fetchWithTimeout(timeoutMs: number, through: typeof fetch = fetch): typeof fetch {
  return async (input, init) => {
    const timeout = AbortSignal.timeout(timeoutMs);
    // The types of the hosted runtime do not know it.
    const own = (init as { signal?: AbortSignal | null } | undefined)?.signal;
    const signal = own ? AbortSignal.any([own, timeout]) : timeout;
    return await through(input, { ...init, signal });
  };
}
