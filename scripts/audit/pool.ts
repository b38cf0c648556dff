import { type Block, readBlock } from "./block.ts";

/** Something that reads blocks, several at a time. */
export interface BlockReader {
  /** How many blocks it is worth having under way at once. */
  readonly parallel: number;
  /** Reads a block, whose bytes are gone afterwards. */
  read(bytes: Uint8Array): Promise<Block>;
  stop(): void;
}

/** Reads on this thread: for bundles that are done before a worker has started. */
export function inline(): BlockReader {
  return { parallel: 1, read: (bytes) => Promise.resolve(readBlock(bytes)), stop() {} };
}

/** Reads on worker threads; each works off its blocks in the order they come. */
export function workerPool(size: number): BlockReader {
  const workers = Array.from({ length: size }, () => startWorker());
  let next = 0;
  return {
    parallel: 2 * size,
    read: (bytes) => workers[next++ % size]!.read(bytes),
    stop: () => workers.forEach((worker) => worker.stop()),
  };
}

function startWorker() {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  const waiting: PromiseWithResolvers<Block>[] = [];
  worker.onmessage = ({ data }: MessageEvent<Block>) => waiting.shift()?.resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    for (const block of waiting.splice(0)) block.reject(new Error(event.message));
  };
  return {
    read(bytes: Uint8Array): Promise<Block> {
      const block = Promise.withResolvers<Block>();
      waiting.push(block);
      worker.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
      return block.promise;
    },
    stop: () => worker.terminate(),
  };
}
