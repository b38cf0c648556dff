import type { Calls } from "../calls.ts";
import type { Args } from "../overlay.ts";
import type { SubjectRow } from "../shapes.ts";

/** The range of time of a report; the last 90 days by default. */
export type ReportRange = Omit<Args<"compliance_report">, "organization_id">;

/** The person whose data is asked for: oneself by default, others for those who may erase them. */
export type Subject = Omit<Args<"export_subject">, "after">;

/** Evidence for auditors, and what is known of a person. */
export function compliance<T extends boolean>(
  { rpc, invoke }: Calls<T>,
  throwing: Calls<true>,
) {
  async function* subjectRows(subject: Subject = {}): AsyncGenerator<SubjectRow, void, undefined> {
    let after: string | undefined;
    for (;;) {
      const { rows, next } = await throwing.rpc("export_subject", { ...subject, after });
      yield* rows;
      if (next === null) return;
      after = next;
    }
  }
  return {
    /** A page of what is known of a person; `next` continues as `after`. */
    subject: (page: Args<"export_subject"> = {}) => rpc("export_subject", page),
    /** Everything that is known of a person, row by row. Throws a BulwarkError. */
    subjectRows,
    /** The same as a file: a stream of bytes, one row of JSON a line (NDJSON). */
    subjectFile: (subject: Subject = {}): ReadableStream<Uint8Array> => {
      const rows = subjectRows(subject);
      const encoder = new TextEncoder();
      return new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { done, value } = await rows.next();
          if (done) controller.close();
          else controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
        },
        async cancel() {
          await rows.return();
        },
      }, { highWaterMark: 0 });
    },
    /** The evidence about an organization, which is itself recorded. */
    report: (organization: string, range: ReportRange = {}) =>
      rpc("compliance_report", { organization_id: organization, ...range }),
    /** The same as a signed text, which `npm run compliance-report -- --verify` checks. */
    signedReport: (organization: string, range: ReportRange = {}) =>
      invoke<string>("bulwark-compliance/report", {
        method: "GET",
        query: { organization_id: organization, since: range.since, until: range.until },
      }),
  };
}
