import { type Block, readBlock } from "./block.ts";

/** Reads blocks, several at a time. */
export interface BlockReader {
  /** How many blocks should be in progress at once. */
  readonly parallel: number;
  /** Reads a block; its bytes are transferred and unusable afterwards. */
  read(bytes: Uint8Array): Promise<Block>;
  stop(): void;
}

/** Reads on this thread: where there is no other, and for bundles that are done before one has started. */
export function inline(): BlockReader {
  return { parallel: 1, read: (bytes) => Promise.resolve(readBlock(bytes)), stop() {} };
}
