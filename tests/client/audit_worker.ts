/** Verifies an export in a worker of a page, as the guide has it. */
import { verifyExport } from "@bulwark/client/audit";

interface Asked {
  file: Blob;
  keys: string[];
}

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Asked>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = async ({ data: { file, keys } }) => {
  let progress = 0;
  const onProgress = ({ bytes }: { bytes: number }) => progress = bytes;
  try {
    scope.postMessage({ ...await verifyExport(file, { keys, onProgress }), progress });
  } catch (thrown) {
    scope.postMessage({ outcome: "error", message: String(thrown) });
  }
};
