/** Something started when first asked for, and stopped only if it was. */
export interface OnDemand<T> {
  get(): Promise<T>;
  stop(): Promise<void>;
}

/** Delays `start` until somebody asks; everybody gets the same one. */
export function onDemand<T extends { stop(): Promise<void> }>(
  start: () => Promise<T>,
): OnDemand<T> {
  let started: Promise<T> | undefined;
  return {
    get: () => started ??= start(),
    async stop() {
      // One that failed to start has cleaned up after itself.
      await (await started?.catch(() => undefined))?.stop();
    },
  };
}
