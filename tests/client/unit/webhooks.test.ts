/** The receiver's helper, with messages that the worker and the package standardwebhooks sign. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Webhook } from "standardwebhooks";
import { verifyWebhook, WebhookRefused } from "../../../clients/js/src/webhooks.ts";
import { openSigner } from "../../../supabase/functions/_bulwark/webhooks/signing.ts";

const secret = `whsec_${btoa("a secret of some length, of 32 bytes")}`;
const another = `whsec_${btoa("another secret of some length 32 byte")}`;
const id = "msg_1";
const payload = { id, type: "audit.data.read", timestamp: "x", severity: "info", data: { ü: "ß" } };
const body = JSON.stringify(payload);

function headersFor(at = new Date(), by = openSigner(secret).sign(id, at, body)) {
  return {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    "webhook-signature": by,
  };
}

const request = (headers: Record<string, string>, text: BodyInit = body) =>
  new Request("https://receiver.test/", { method: "POST", headers, body: text });

async function faultOf(call: Promise<unknown>): Promise<string> {
  const thrown = await call.then(() => null, (thrown: unknown) => thrown);
  assert.ok(thrown instanceof WebhookRefused, String(thrown));
  return thrown.fault;
}

Deno.test("CLIENT-10: a genuine message is accepted, of either signer and in either form", async () => {
  const now = new Date();
  const theirs = new Webhook(secret).sign(id, now, body);
  for (const headers of [headersFor(now), headersFor(now, theirs)]) {
    assert.deepEqual(await verifyWebhook(request(headers), secret), { id, payload });
    assert.deepEqual(await verifyWebhook({ headers, body }, [another, secret]), { id, payload });
    const raw = { headers, body: Buffer.from(body) };
    assert.deepEqual(await verifyWebhook(raw, [secret]), { id, payload });
  }
  const both = `${openSigner(another).sign(id, now, body)} ${theirs}`;
  assert.equal((await verifyWebhook(request(headersFor(now, both)), secret)).id, id);
});

Deno.test("CLIENT-11: altered, foreign, stale, unsigned and oversized messages are refused", async () => {
  const now = new Date();
  const genuine = headersFor(now);
  const at = (minutes: number) => headersFor(new Date(Date.now() + minutes * 60_000));
  const { "webhook-signature": signature } = genuine;
  const refused: [string, Request][] = [
    ["body", request(genuine, body.replace("info", "crit"))],
    ["id", request({ ...genuine, "webhook-id": "msg_2" })],
    ["time", request({ ...genuine, "webhook-timestamp": String(Date.now() / 1000 - 1 | 0) })],
    ["old", request(at(-6))],
    ["early", request(at(6))],
    ["no time", request({ ...genuine, "webhook-timestamp": "" })],
    ["no number", request({ ...genuine, "webhook-timestamp": "NaN" })],
    ["no id", request({ ...genuine, "webhook-id": "" })],
    ["no signature", request({ ...genuine, "webhook-signature": "" })],
    [
      "another version",
      request({ ...genuine, "webhook-signature": signature.replace("v1", "v2") }),
    ],
    ["no base64", request({ ...genuine, "webhook-signature": "v1,?" })],
    ["shorter", request({ ...genuine, "webhook-signature": signature.slice(0, -4) })],
    ["too large", request(genuine, "x".repeat(1024 * 1024 + 1))],
  ];
  for (const [name, message] of refused) {
    assert.equal(await faultOf(verifyWebhook(message, secret)), "invalid", name);
  }
  assert.equal(await faultOf(verifyWebhook(request(genuine), another)), "invalid");
  assert.equal(await faultOf(verifyWebhook(request(genuine), [])), "invalid");
  const oversized = { headers: genuine, body: "x".repeat(1024 * 1024 + 1) };
  assert.equal(await faultOf(verifyWebhook(oversized, secret)), "invalid");
});

Deno.test("CLIENT-12: bytes that are no JSON in UTF-8 are refused although they are signed", async () => {
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode("a secret of some length, of 32 bytes"),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  for (const bytes of [new Uint8Array([0xff, 0xfe]), new TextEncoder().encode("{")]) {
    const now = new Date();
    const prefix = new TextEncoder().encode(`${id}.${Math.floor(now.getTime() / 1000)}.`);
    const mac = await crypto.subtle.sign("HMAC", key, new Uint8Array([...prefix, ...bytes]));
    const headers = headersFor(now, `v1,${Buffer.from(mac).toString("base64")}`);
    assert.equal(await faultOf(verifyWebhook(request(headers, bytes), secret)), "invalid");
  }
});

Deno.test("CLIENT-13: a message that comes again is refused, a forged one is not remembered", async () => {
  const known = new Set<string>();
  const seen = {
    remember: (id: string) => Promise.resolve(!known.has(id) && Boolean(known.add(id))),
  };
  const headers = headersFor();
  await faultOf(verifyWebhook(request(headers, "{}"), secret, seen));
  assert.equal(known.size, 0);
  await verifyWebhook(request(headers), secret, seen);
  assert.equal(await faultOf(verifyWebhook(request(headers), secret, seen)), "repeated");
});

Deno.test("CLIENT-14: a secret in another form is an error of the program", async () => {
  for (const wrong of ["", "whsec_", "whsec_?"]) {
    await assert.rejects(verifyWebhook(request(headersFor()), wrong), TypeError);
  }
});
