/** Reminders of access reviews, as they arrive at a webhook's receiver. */
import assert from "node:assert/strict";
import { createOrganization, join, liftLimits, ok, service, signUp } from "../support.ts";
import { endpoint, receive, verified } from "../webhooks/support.ts";

Deno.test("REV-E01: a review that is due reminds its reviewers by a webhook, and no other organization's", async () => {
  await liftLimits();
  const [ada, bob, mia] = await Promise.all([signUp("ada"), signUp("bob"), signUp("mia")]);
  const [acme, globex] = await Promise.all([createOrganization(ada), createOrganization(bob)]);
  await join(ada, acme, mia, "viewer");
  await using receiver = receive();
  await using stranger = receive();
  const options = {
    subscriptions: [{ pattern: "audit.compliance.review_due" }],
    include_details: true,
  };
  const { secret } = await endpoint(ada, acme, receiver, options);
  await endpoint(bob, globex, stranger, options);
  const start = async (name: string, days: number) =>
    ok(
      await ada.client.rpc("start_access_review", {
        organization_id: acme,
        name,
        due_at: new Date(Date.now() + days * 86_400_000).toISOString(),
        reviewers: [ada.id],
      }),
    ).id;
  const [due] = [await start("Quarter", 1), await start("Year", 100)];
  const remind = async () => ok(await service().rpc("remind_access_reviews"));
  await remind();
  await remind();
  await receiver.until(({ length }) => length > 0);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(receiver.received.length, 1, "of the one that is due soon, once a day");
  assert.deepEqual(stranger.received, []);
  const { type, data } = await verified(receiver.received[0]!, secret) as {
    type: string;
    data: { resource_id: string; organization_id: string; details: Record<string, unknown> };
  };
  assert.deepEqual(
    [type, data.resource_id, data.organization_id],
    ["audit.compliance.review_due", due, acme],
  );
  const { name, reviewers, undecided } = data.details;
  assert.deepEqual([name, reviewers, undecided], ["Quarter", [ada.id], 2]);
});
