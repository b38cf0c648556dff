import assert from "node:assert/strict";
import { Webhook } from "standardwebhooks";
import { newSecret } from "../../../supabase/functions/_bulwark/webhooks/sealing.ts";
import {
  type SeenIds,
  verifyWebhook,
  WebhookRefused,
} from "../../../supabase/functions/_bulwark/webhooks/verify.ts";

const secret = newSecret();
const body = '{"type":"webhook.test","data":{"message":"hello"}}';

function message(
  { id = "msg_1", at = new Date(), text = body, signed = body, by = secret, headers = {} } = {},
): Request {
  return new Request("https://receiver.test/", {
    method: "POST",
    headers: {
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
      "webhook-signature": new Webhook(by).sign("msg_1", at, signed),
      ...headers,
    },
    body: text,
  });
}

function memory(): SeenIds {
  const ids = new Set<string>();
  return {
    remember: (id) => Promise.resolve(ids.size < ids.add(id).size),
  };
}

const refuses = (request: Request, fault = "invalid", seen?: SeenIds) =>
  assert.rejects(
    verifyWebhook(request, [secret], seen),
    (thrown) => thrown instanceof WebhookRefused && thrown.fault === fault,
  );

Deno.test("verifyWebhook() accepts what was sent, and says its id", async () => {
  const { id, payload } = await verifyWebhook(message(), [secret]);
  assert.equal(id, "msg_1");
  assert.deepEqual(payload, JSON.parse(body));
});

Deno.test("verifyWebhook() refuses a tampered body, id, time and signature", async () => {
  await refuses(message({ text: body.replace("hello", "hullo") }));
  await refuses(message({ text: `${body} ` }));
  await refuses(message({ id: "msg_2" }));
  await refuses(
    message({ headers: { "webhook-timestamp": String(Math.floor(Date.now() / 1000) + 1) } }),
  );
  await refuses(message({ headers: { "webhook-signature": "v1,AAAA" } }));
  await refuses(message({ headers: { "webhook-signature": "v2,AAAA v1a,BBBB" } }));
  await refuses(message({ by: newSecret() }));
});

Deno.test("verifyWebhook() refuses a message that lacks a header", async () => {
  for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
    const request = message();
    request.headers.delete(name);
    await refuses(request);
  }
});

Deno.test("verifyWebhook() refuses a stale message, and one from the future", async () => {
  await refuses(message({ at: new Date(Date.now() - 301_000) }));
  await refuses(message({ at: new Date(Date.now() + 310_000) }));
  await verifyWebhook(message({ at: new Date(Date.now() - 290_000) }), [secret]);
});

Deno.test("verifyWebhook() tells a replayed message from a new one, also when both come at once", async () => {
  const seen = memory();
  const replayed = message();
  const answers = await Promise.allSettled(
    Array.from({ length: 5 }, () => verifyWebhook(replayed.clone(), [secret], seen)),
  );
  assert.equal(answers.filter(({ status }) => status === "fulfilled").length, 1);
  // A retry is signed anew and has the same id.
  await refuses(message({ at: new Date(Date.now() + 1000) }), "repeated", seen);
});

Deno.test("verifyWebhook() accepts either secret while they are exchanged", async () => {
  const fresh = newSecret();
  await verifyWebhook(message(), [fresh, secret]);
  await assert.rejects(verifyWebhook(message(), [fresh]), WebhookRefused);
});

Deno.test("verifyWebhook() verifies bytes: what only decodes to the same text is another message", async () => {
  const text = '{"data":{"message":"Grüße, 你好, \u{1f510} \ufffd"}}';
  const { payload } = await verifyWebhook(message({ text, signed: text }), [secret]);
  assert.deepEqual(payload, JSON.parse(text));
  const bytes = new TextEncoder().encode(text);
  const replaced = bytes.indexOf(0xef);
  const altered = [
    // A byte order mark, and bytes that are not UTF-8, are verified as signed.
    new Uint8Array([0xef, 0xbb, 0xbf, ...bytes]),
    new Uint8Array([...bytes.slice(0, replaced), 0xff, ...bytes.slice(replaced + 3)]),
  ];
  for (const body of altered) {
    const request = message({ text, signed: text });
    await refuses(new Request(request.url, { method: "POST", headers: request.headers, body }));
  }
});

Deno.test("verifyWebhook() reads no more than a delivery can have, whatever length is announced", async () => {
  let read = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      read++;
      controller.enqueue(new Uint8Array(65_536).fill(32));
    },
  });
  const { headers } = message();
  await refuses(new Request("https://receiver.test/", { method: "POST", headers, body }));
  assert.ok(read < 20, String(read));
});

Deno.test("verifyWebhook() does not remember what it refused", async () => {
  const seen = memory();
  await refuses(message({ text: "{}" }), "invalid", seen);
  await verifyWebhook(message(), [secret], seen);
});

Deno.test("newSecret() has 256 random bits and the prefix that libraries know", () => {
  const secrets = new Set(Array.from({ length: 100 }, newSecret));
  assert.equal(secrets.size, 100);
  for (const made of secrets) {
    assert.match(made, /^whsec_[A-Za-z0-9+/]{43}=$/);
  }
});
