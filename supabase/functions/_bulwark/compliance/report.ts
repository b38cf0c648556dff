import type { Signer } from "../audit/note.ts";
import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import { sha256Hex, signReport } from "./statement.ts";

/** The fields of a report that its statement repeats; the others are for readers. */
interface ReportHead {
  organization: { id: string };
  since: string;
  until: string;
  entry: string;
}

/**
 * A compliance report as two lines of JSON: the report, and the statement that the log's keys signed
 * about the bytes of the first line (`note` is null while no signing key is set). It is made with the
 * caller's rights.
 */
export async function signedReport(
  client: CallerClient,
  asked: { organization_id: string; since?: string | undefined; until?: string | undefined },
  signers: readonly Signer[],
): Promise<Response> {
  const { organization_id, since, until } = asked;
  const report = unwrap(
    await client.rpc("compliance_report", {
      organization_id,
      ...(since === undefined ? {} : { since }),
      ...(until === undefined ? {} : { until }),
    }),
  ) as unknown as ReportHead;
  const line = JSON.stringify(report);
  const bytes = new TextEncoder().encode(line);
  const [signer] = signers;
  const note = signer
    ? await signReport({
      origin: signer.name,
      organization: report.organization.id,
      since: report.since,
      until: report.until,
      entry: report.entry,
      bytes: bytes.length,
      sha256: sha256Hex(bytes),
    }, signers)
    : null;
  return new Response(`${line}\n${JSON.stringify({ type: "statement", note })}\n`, {
    headers: {
      "content-type": "application/x-ndjson",
      "content-disposition": 'attachment; filename="compliance.ndjson"',
    },
  });
}
