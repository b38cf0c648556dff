/** The journey: evidence for auditors. */
import { type Bulwark, equal, refused } from "./steps.ts";

export async function compliance(ada: Bulwark, bob: Bulwark, acme: string) {
  await refused("RBAC_PERMISSION_DENIED", bob.compliance.report(acme));
  const { organization, log } = await ada.compliance.report(acme, {
    since: "2026-01-01T00:00:00Z",
  });
  equal([organization.id, log.complete], [acme, true]);
  const signed = await ada.compliance.signedReport(acme);
  equal(signed.split("\n").map((line) => line.slice(0, 20))[1], '{"type":"statement",');
}
