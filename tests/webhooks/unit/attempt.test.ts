import assert from "node:assert/strict";
import { Webhook } from "standardwebhooks";
import {
  attempt,
  type ClaimedDelivery,
  excerpt,
  type OpenEndpoint,
} from "../../../supabase/functions/_bulwark/webhooks/attempt.ts";
import { dialer } from "../../../supabase/functions/_bulwark/webhooks/connection.ts";
import { openPool } from "../../../supabase/functions/_bulwark/webhooks/pool.ts";
import { answering, startReceiver } from "./fixtures.ts";
import { newSecret } from "../../../supabase/functions/_bulwark/webhooks/sealing.ts";
import { openSigner } from "../../../supabase/functions/_bulwark/webhooks/signing.ts";
import {
  verifyWebhook,
  WebhookRefused,
} from "../../../supabase/functions/_bulwark/webhooks/verify.ts";

const delivery: ClaimedDelivery = {
  id: "5f0c2f0a-5a3a-4a36-9d0c-111111111111",
  attempt_id: "5f0c2f0a-5a3a-4a36-9d0c-222222222222",
  attempt: 1,
  endpoint_id: "5f0c2f0a-5a3a-4a36-9d0c-333333333333",
  ordering_key: null,
  body: {
    type: "audit.authz.role_assigned",
    timestamp: "2026-11-22T10:00:00.000000Z",
    severity: "info",
    data: { id: "1", action: "insert", resource_type: "bulwark.user_roles", result: "success" },
  },
};

async function attempting(
  answer: string,
  secrets: string[],
  options: Partial<OpenEndpoint> = {},
  addresses = ["127.0.0.1"],
) {
  await using receiver = startReceiver(answering(answer));
  const pool = openPool();
  try {
    const result = await attempt(delivery, {
      id: delivery.endpoint_id,
      url: new URL(`http://127.0.0.1:${receiver.port}/services/T00/secretpath`),
      format: "json",
      followRedirects: false,
      signers: secrets.map(openSigner),
      ...options,
    }, {
      resolve: () => Promise.resolve(addresses),
      policy: { allowLoopback: true },
      connectTimeoutMs: 5000,
      timeoutMs: 5000,
      dial: dialer(),
      pool,
    }, "bulwark.test");
    return { result, request: asRequest(receiver.received[0] ?? "POST / HTTP/1.1\r\n\r\n") };
  } finally {
    pool.close();
  }
}

function asRequest(text: string): Request {
  const [head = "", body = ""] = text.split("\r\n\r\n");
  const headers = head.split("\r\n").slice(1).map((line) => line.split(": ") as [string, string]);
  return new Request("https://receiver.test/", { method: "POST", headers, body });
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

Deno.test("attempt() signs so that any Standard Webhooks library verifies it", async () => {
  const secret = newSecret();
  const { result, request } = await attempting(ok, [secret]);
  assert.equal(result.outcome, "delivered");
  assert.equal(result.status, 200);
  assert.equal(result.response, "ok");
  const headers = Object.fromEntries(request.headers);
  const payload = new Webhook(secret).verify(await request.text(), headers);
  assert.deepEqual(payload, { id: delivery.id, ...delivery.body });
  assert.equal(headers["webhook-id"], delivery.id);
});

Deno.test("attempt() signs with every secret while one replaces the other", async () => {
  const [old, fresh] = [newSecret(), newSecret()];
  const { request } = await attempting(ok, [fresh, old]);
  assert.equal(request.headers.get("webhook-signature")?.split(" ").length, 2);
  for (const secret of [old, fresh]) await verifyWebhook(request.clone(), [secret]);
  await assert.rejects(verifyWebhook(request.clone(), [newSecret()]), WebhookRefused);
});

Deno.test("attempt() names every way to fail", async () => {
  const cases: [string, string, number | undefined][] = [
    ["HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n", "rejected", 500],
    ["HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", "rejected", 404],
    ["HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "rejected", 302],
    ["", "unreachable", undefined],
    // The status was 2xx; a missing rest of the answer changes nothing.
    ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "delivered", 200],
  ];
  for (const [answer, outcome, status] of cases) {
    const { result } = await attempting(answer, [newSecret()]);
    assert.equal(result.outcome, outcome, answer);
    assert.equal(result.status, status, answer);
    assert.ok((result.latency_ms ?? -1) >= 0);
  }
  const refused = await attempting(ok, [newSecret()], {}, ["10.0.0.1"]);
  assert.equal(refused.result.outcome, "forbidden");
  assert.equal(refused.result.status, undefined);
});

Deno.test("attempt() says when a receiver wants to be left alone for a while", async () => {
  const cases: [string, number | undefined][] = [
    ["120", 120],
    ["999999", 86_400],
    ["0", undefined],
    ["soon", undefined],
    ["-5", undefined],
    ["1.5", undefined],
    ["2099", 2099],
    ["Wed, 21 Oct 2015 07:28:00 GMT", undefined],
    ["Thu, 21 Oct 2100 07:28:00 GMT", 86_400],
  ];
  for (const [header, expected] of cases) {
    const answer = `HTTP/1.1 429 x\r\nRetry-After: ${header}\r\nContent-Length: 0\r\n\r\n`;
    const { result } = await attempting(answer, [newSecret()]);
    assert.equal(result.retry_after_seconds, expected, header);
  }
});

Deno.test("attempt() keeps no secret that the receiver sends back", async () => {
  const echo = "HTTP/1.1 200 OK\r\n\r\nyou sent R0UT1NGK3Y012345 to /services/T00/secretpath";
  const { result } = await attempting(echo, [newSecret()], { routingKey: "R0UT1NGK3Y012345" });
  assert.equal(result.response, "you sent [redacted] to [redacted]");
});

Deno.test("excerpt() is bounded, printable, and something that a database takes", () => {
  assert.equal([...excerpt(new Uint8Array(10_000).fill(97), [])].length, 1024);
  assert.equal(excerpt(new TextEncoder().encode("a\0b\x1b[31mc\nd\te"), []), "a b [31mc\nd\te");
  const cut = excerpt(new TextEncoder().encode("😀".repeat(2000)), []);
  assert.ok(cut.isWellFormed());
  assert.equal([...cut].length, 1024);
  assert.ok(excerpt(new Uint8Array([0xff, 0xfe, 0xc3]), []).isWellFormed());
});
