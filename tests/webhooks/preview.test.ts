/** The preview of a delivery, over HTTP: the same as what the endpoint got. */
import assert from "node:assert/strict";
import { createOrganization, join, ok, signUp } from "../support.ts";
import { call, endpoint, receive, verified } from "./support.ts";

Deno.test("WHK-F20: a preview is what is sent, in the endpoint's format, and for readers alone", async () => {
  const [admin, viewer, stranger] = await Promise.all(["a", "v", "s"].map(signUp));
  assert.ok(admin && viewer && stranger);
  const organization = await createOrganization(admin);
  await createOrganization(stranger);
  await join(admin, organization, viewer, "viewer");
  await using receiver = receive();
  const { id, secret } = await endpoint(admin, organization, receiver, { include_details: true });
  const slack = await endpoint(admin, organization, receiver, {
    format: "slack",
    subscriptions: [{ pattern: "audit.data.export" }],
  });
  const event_id = ok(
    await admin.client.rpc("log_audit_event", {
      event_type: "data.read",
      organization_id: organization,
      details: { why: "curiosity" },
    }),
  );
  await receiver.until(({ length }) => length === 1);
  const sent = await verified(receiver.received[0]!, secret);

  const shown = await call(admin, "POST", `endpoints/${id}/preview`, { event_id });
  assert.equal(shown.status, 200, JSON.stringify(shown.body));
  assert.equal(shown.body["subscribed"], true);
  const body = JSON.parse(shown.body["body"] as string);
  assert.deepEqual({ ...body, id: sent["id"] }, sent);

  const message = await call(admin, "POST", `endpoints/${slack.id}/preview`, { event_id });
  assert.equal(message.body["subscribed"], false);
  assert.match(JSON.parse(message.body["body"] as string).text, /^audit\.data\.read: /);

  for (const person of [viewer, stranger]) {
    const refused = await call(person, "POST", `endpoints/${id}/preview`, { event_id });
    assert.equal(refused.body["code"], "WEBHOOK_UNKNOWN_ENDPOINT");
  }
  assert.equal(receiver.received.length, 1, "a preview sends nothing");
});
