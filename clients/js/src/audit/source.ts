import { VerificationError } from "./error.ts";

/** The bytes of an export: a file, an answer's body, or anything that gives them in order. */
export type ExportSource = Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * The chunks of a source. If the signal aborts it throws its reason at once, also while a source is
 * silent, and lets go of the source.
 */
export async function* chunksOf(
  source: ExportSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = iteratorOf(source);
  let stop: (reason: unknown) => void = () => {};
  const onAbort = () => stop(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  try {
    for (;;) {
      signal?.throwIfAborted();
      const { done, value } = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        stop = reject;
        chunks.next().then(resolve, reject);
      });
      if (done) return;
      if (!ArrayBuffer.isView(value)) {
        throw new VerificationError("BAD_OPTIONS", "Cannot verify: the source does not give bytes");
      }
      yield value;
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    // Not awaited: a source that is silent would never answer.
    chunks.return?.()?.catch(() => {});
  }
}

/** Not every browser iterates over streams. */
function iteratorOf(source: ExportSource): AsyncIterator<Uint8Array> {
  if (!(source instanceof Blob) && !("getReader" in source)) return source[Symbol.asyncIterator]();
  const stream: ReadableStream<Uint8Array> = source instanceof Blob ? source.stream() : source;
  const reader = stream.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<Uint8Array>>,
    async return() {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}
