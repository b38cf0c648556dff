import type { Calls } from "../calls.ts";
import type { Args } from "../overlay.ts";

/** The range of time of a report; the last 90 days by default. */
export type ReportRange = Omit<Args<"compliance_report">, "organization_id">;

/** Evidence for auditors. */
export function compliance<T extends boolean>({ rpc, invoke }: Calls<T>) {
  return {
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
