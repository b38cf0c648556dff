/**
 * A `fetch` that ends after so many milliseconds, its answer's body included; a signal of the caller's
 * own ends it, too.
 */
export function boundedFetch(limit: number, through: typeof fetch = fetch): typeof fetch {
  return async (input, init) => {
    const late = AbortSignal.timeout(limit);
    // The types of the hosted runtime do not know it.
    const own = (init as { signal?: AbortSignal | null } | undefined)?.signal;
    return await through(input, { ...init, signal: own ? AbortSignal.any([own, late]) : late });
  };
}
