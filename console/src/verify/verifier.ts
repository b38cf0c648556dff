import type { ExportVerdict } from "@bulwark/client/audit";
import type { Report, Work } from "./worker.ts";
import address from "./worker.ts?worker&url";

interface Policy {
  createScriptURL(text: string): unknown;
}
interface Factory {
  createPolicy(name: string, rules: { createScriptURL(): string }): Policy;
}

// Under Trusted Types a worker starts from an address of a policy alone; this one knows a single one.
const { trustedTypes } = globalThis as { trustedTypes?: Factory };
const policy = trustedTypes?.createPolicy("bulwark-verifier", { createScriptURL: () => address });

/** Nothing can be said about a file. */
export class Unreadable extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

/** Verifies an export in a worker, which ends with the signal. */
export function verifyInWorker(
  work: Work,
  onProgress: (progress: { done: number; entries: number }) => void,
  signal: AbortSignal,
): Promise<ExportVerdict> {
  const worker = new Worker((policy?.createScriptURL("") ?? address) as string, {
    type: "module",
  });
  return new Promise<ExportVerdict>((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
    worker.onerror = () => reject(new Unreadable("NO_WORKER", "The verifier could not start"));
    worker.onmessage = ({ data }: MessageEvent<Report>) => {
      if ("verdict" in data) resolve(data.verdict);
      else if ("done" in data) onProgress(data);
      else reject(new Unreadable(data.code, data.message));
    };
    worker.postMessage(work);
  }).finally(() => worker.terminate());
}
