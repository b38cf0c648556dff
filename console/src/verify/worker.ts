/** Verifies an export away from the page, which stays responsive. */
import {
  type ExportVerdict,
  type Period,
  VerificationError,
  verifyExport,
} from "@bulwark/client/audit";

/** The work of a worker. */
export interface Work {
  file: Blob;
  keys: readonly string[];
  organization: string;
  /** The period that is to be proved; undefined: the whole log. */
  period: Period | undefined;
}

/** A message of the worker: how far it is, in parts of one, or its result. */
export type Report =
  | { done: number; entries: number }
  | { verdict: ExportVerdict }
  | { code: string; message: string };

const report = (message: Report) => postMessage(message);

addEventListener("message", async ({ data }: MessageEvent<Work>) => {
  const { file, keys, organization, period } = data;
  try {
    const verdict = await verifyExport(file, {
      keys,
      organization,
      period,
      onProgress: ({ bytes, entries }) => report({ done: bytes / file.size, entries }),
    });
    report({ verdict });
  } catch (thrown) {
    const code = thrown instanceof VerificationError ? thrown.code : "UNREADABLE";
    report({ code, message: (thrown as Error).message });
  }
});
