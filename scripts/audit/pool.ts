import { Failure } from "../stack/failure.ts";
import type { Block } from "../../clients/js/src/audit/block.ts";
import type { BlockReader } from "../../clients/js/src/audit/reader.ts";

/**
 * Reads on worker threads; each processes its blocks in order. If a thread dies, its blocks fail
 * with WORKER_FAILED.
 */
export function workerPool(
  size: number,
  script = new URL("./worker.ts", import.meta.url),
): BlockReader {
  const workers = Array.from({ length: size }, () => startWorker(script));
  let next = 0;
  return {
    parallel: 2 * size,
    read: (bytes) => workers[next++ % size]!.read(bytes),
    stop: () => workers.forEach((worker) => worker.stop()),
  };
}

function startWorker(script: URL) {
  const worker = new Worker(script, { type: "module" });
  const waiting: PromiseWithResolvers<Block>[] = [];
  let failure: Failure | null = null;
  const fail = (reason: string) => {
    failure ??= new Failure("WORKER_FAILED", `Cannot verify: a thread failed: ${reason}`, 2);
    for (const block of waiting.splice(0)) block.reject(failure);
  };
  worker.onmessage = ({ data }: MessageEvent<Block | null>) => {
    if (data?.leaves instanceof Uint8Array) waiting.shift()?.resolve(data);
    else fail("its answer is no block");
  };
  worker.onmessageerror = () => fail("its answer cannot be read");
  worker.onerror = (event) => {
    event.preventDefault();
    fail(event.message);
  };
  return {
    read(bytes: Uint8Array): Promise<Block> {
      const block = Promise.withResolvers<Block>();
      // Only the first failure is awaited.
      block.promise.catch(() => {});
      if (failure) {
        block.reject(failure);
      } else {
        waiting.push(block);
        worker.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
      }
      return block.promise;
    },
    stop: () => worker.terminate(),
  };
}
