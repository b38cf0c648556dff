/** Hashes blocks of a bundle on a worker thread. */
import { readBlock } from "../../clients/js/src/audit/block.ts";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Uint8Array>) => void;
  postMessage(message: unknown, transfer: Transferable[]): void;
};

scope.onmessage = ({ data }) => {
  const block = readBlock(data);
  const leaves = block.leaves.slice();
  scope.postMessage({ ...block, leaves }, [leaves.buffer, block.bytes.buffer as ArrayBuffer]);
};
