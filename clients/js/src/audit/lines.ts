import { VerificationError } from "./error.ts";

const blockSize = 1024 * 1024;
const longestLine = 32 * blockSize;

/**
 * Splits a stream into blocks of whole lines, about a megabyte each, each with memory of its own.
 * The last block ends with the stream.
 */
export async function* wholeLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let pending: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const end = size + chunk.length < blockSize ? -1 : chunk.lastIndexOf(10);
    if (end < 0) {
      pending.push(chunk);
      size += chunk.length;
      if (size > longestLine) {
        throw new VerificationError(
          "LINE_TOO_LONG",
          "Cannot read the bundle: a line exceeds 32 MiB",
        );
      }
      continue;
    }
    yield join([...pending, chunk.subarray(0, end + 1)]);
    pending = end + 1 < chunk.length ? [chunk.slice(end + 1)] : [];
    size = chunk.length - end - 1;
  }
  if (size > 0) yield join(pending);
}

function join(parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
