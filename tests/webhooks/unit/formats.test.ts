import assert from "node:assert/strict";
import type { WebhookEvent } from "../../../supabase/functions/_bulwark/webhooks/event.ts";
import { renderBody } from "../../../supabase/functions/_bulwark/webhooks/formats.ts";

const context = {
  id: "delivery-1",
  source: "project.supabase.co",
  routingKey: "R0UTINGKEY0123456789",
};

const raised: WebhookEvent = {
  type: "security.brute_force",
  timestamp: "2026-11-22T10:00:00.123456Z",
  severity: "error",
  data: { id: "event-1", event_type: "brute_force", subject: "<!channel> & <https://evil.test|x>" },
};

const render = (format: Parameters<typeof renderBody>[0], event = raised) =>
  JSON.parse(renderBody(format, event, context));

Deno.test("renderBody() puts the event and its id into plain JSON", () => {
  assert.deepEqual(render("json"), { id: "delivery-1", ...raised });
});

Deno.test("renderBody() gives the same bytes for the same event", () => {
  for (const format of ["json", "slack", "pagerduty"] as const) {
    assert.equal(renderBody(format, raised, context), renderBody(format, raised, context));
  }
});

Deno.test("renderBody() lets no event mention a Slack channel or make a link", () => {
  const message = render("slack");
  const texts = JSON.stringify(message);
  assert.ok(!texts.includes("<!channel>") && !texts.includes("<https"), texts);
  assert.equal(
    message.text,
    "security.brute_force: brute_force: &lt;!channel&gt; &amp; &lt;https://evil.test|x&gt;",
  );
  assert.equal(message.attachments[0].blocks[0].type, "section");
});

Deno.test("renderBody() keeps within Slack's 3,000 characters a block and PagerDuty's 1,024 a summary", () => {
  const long = { ...raised, data: { ...raised.data, subject: "&".repeat(4000) } };
  const half = { ...raised, data: { ...raised.data, subject: `${"x".repeat(995)}😀`.repeat(3) } };
  for (const event of [long, half]) {
    assert.ok(render("slack", event).attachments[0].blocks[0].text.text.length <= 3000);
    const { summary } = render("pagerduty", event).payload;
    assert.ok(summary.length <= 1024 && summary.isWellFormed(), summary);
  }
});

Deno.test("renderBody() makes a security event and its resolution one PagerDuty incident", () => {
  const trigger = render("pagerduty");
  const resolve = render("pagerduty", { ...raised, type: "security.brute_force.resolved" });
  assert.equal(trigger.routing_key, context.routingKey);
  assert.deepEqual([trigger.event_action, resolve.event_action], ["trigger", "resolve"]);
  assert.equal(trigger.dedup_key, "event-1");
  assert.equal(resolve.dedup_key, trigger.dedup_key);
  assert.equal(trigger.payload.severity, "error");
  assert.equal(trigger.payload.source, "project.supabase.co");
});

Deno.test("renderBody() gives every audit entry an incident of its own, which a retry does not repeat", () => {
  const entry: WebhookEvent = {
    ...raised,
    type: "audit.data.delete",
    severity: "debug",
    data: {
      id: "entry-1",
      action: "delete",
      resource_type: "public.reports",
      resource_id: "7",
      result: "success",
    },
  };
  const { dedup_key, payload } = render("pagerduty", entry);
  assert.equal(dedup_key, "delivery-1");
  assert.equal(payload.severity, "info", "PagerDuty knows no debug");
  assert.equal(
    payload.summary,
    "audit.data.delete: data.delete: delete of public.reports 7 (success)",
  );
});

Deno.test("renderBody() has something to say of an entry whose payload is gone", () => {
  const gone = { ...raised, type: "audit.data.delete", data: { id: "entry-1", removed: true } };
  for (const format of ["slack", "pagerduty", "json"] as const) {
    assert.ok(!JSON.stringify(render(format, gone)).includes("undefined"));
  }
});
