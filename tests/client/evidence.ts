/** The journey: evidence for auditors. */
import { type Bulwark, equal, refused } from "./steps.ts";

export async function compliance(ada: Bulwark, bob: Bulwark, root: Bulwark, acme: string) {
  await refused("RBAC_PERMISSION_DENIED", bob.compliance.report(acme));
  const { organization, log } = await ada.compliance.report(acme, {
    since: "2026-01-01T00:00:00Z",
  });
  equal([organization.id, log.complete], [acme, true]);
  const signed = await ada.compliance.signedReport(acme);
  equal(signed.split("\n").map((line) => line.slice(0, 20))[1], '{"type":"statement",');
  const { subject, next } = await bob.compliance.subject({ page_size: 1 });
  await bob.compliance.subject({ page_size: 1, after: next ?? undefined });
  await refused("RBAC_PERMISSION_DENIED", ada.compliance.subject({ user_id: subject }));
  const sources = new Set<string>();
  for await (const { source, row } of bob.compliance.subjectRows()) {
    sources.add(source);
    if (source === "auth.users") equal(row.id, subject);
  }
  equal(
    ["auth.users", "bulwark.user_roles", "bulwark.audit_logs"].every((s) => sources.has(s)),
    true,
  );
  const file = root.compliance.subjectFile({ user_id: subject });
  const lines = (await new Response(file).text()).trimEnd().split("\n");
  equal(lines.every((line) => typeof JSON.parse(line).source === "string"), true);
  await reviews(ada, bob, root, acme);
}

async function reviews(ada: Bulwark, bob: Bulwark, root: Bulwark, acme: string) {
  const { id: reviewer } = (await ada.whoami())!.user;
  const asked = {
    organization_id: acme,
    name: "Quarter",
    due_at: new Date(Date.now() + 86_400_000).toISOString(),
    reviewers: [reviewer],
  };
  await refused("RBAC_PERMISSION_DENIED", bob.reviews.start(asked));
  const { id } = await ada.reviews.start(asked);
  equal((await ada.reviews.list(acme)).map((review) => review.id), [id]);
  await refused("COMPLIANCE_UNKNOWN_REVIEW", bob.reviews.items(id));
  const items = await ada.reviews.items(id);
  equal(items.length > 1, true);
  const own = items.find((item) => item.user_id === reviewer)!;
  await refused("COMPLIANCE_OWN_ACCESS", ada.reviews.end(own.id));
  const members = items.filter((item) => item.user_id !== reviewer);
  for (const { id, version } of members) await ada.reviews.keep(id, version!, "Needed");
  const { kept, undecided } = await ada.reviews.close(id);
  equal([kept, kept + undecided], [members.length, items.length]);
  await refused("COMPLIANCE_REVIEW_CLOSED", ada.reviews.close(id));
  const all = [];
  for await (const item of root.reviews.all(id, { page_size: 1 })) all.push(item.id);
  equal(all, items.map((item) => item.id));
}
