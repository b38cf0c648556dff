/** Shared by the webhook tests: receivers on this machine, their endpoints, workers. */
import assert from "node:assert/strict";
import { openDataKeys } from "../../supabase/functions/_bulwark/encryption/mod.ts";
import { readWebhookEnv } from "../../supabase/functions/_bulwark/webhooks/env.ts";
import { deliver } from "../../supabase/functions/_bulwark/webhooks/delivering.ts";
import { verifyWebhook } from "../../supabase/functions/_bulwark/webhooks/verify.ts";
import type { RunLimits } from "../../supabase/functions/_bulwark/webhooks/worker.ts";
import { callFunction, connect, type Person, publishableKey, service, url } from "../support.ts";

/** A request to a receiver. */
export interface Received {
  id: string;
  signature: string;
  body: string;
  at: number;
}

/** A receiver that stores requests and answers as configured. */
export interface Receiver extends AsyncDisposable {
  url: string;
  received: Received[];
  /** Waits until a condition holds, for at most 30 seconds. */
  until(holds: (received: Received[]) => boolean): Promise<void>;
}

type Answer = (request: Received, index: number) => Response | Promise<Response>;

/** Starts a receiver on loopback. */
export function receive(answer: Answer = () => new Response("thank you")): Receiver {
  const received: Received[] = [];
  const aborted = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, signal: aborted.signal, onListen: () => {} },
    async (request) => {
      const got = {
        id: request.headers.get("webhook-id") ?? "",
        signature: request.headers.get("webhook-signature") ?? "",
        timestamp: request.headers.get("webhook-timestamp") ?? "",
        body: await request.text(),
        at: performance.now(),
      };
      return await answer(got, received.push(got) - 1);
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/hook`,
    received,
    until: (holds) => until(() => holds(received)),
    async [Symbol.asyncDispose]() {
      aborted.abort();
      await server.finished;
    },
  };
}

/** Waits until a condition holds, for at most 60 seconds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; !await holds(); waited += 20) {
    assert.ok(waited < 60_000, "waited a minute in vain");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Calls the function with a token. */
export async function call(
  person: Person | null,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await callFunction(`webhooks/${path}`, { method, token: person?.token, body });
  const text = await answer.text();
  return { status: answer.status, body: text === "" ? {} : JSON.parse(text) };
}

/** Creates an endpoint for audit entries of the type `data.read`. */
export async function endpoint(
  person: Person,
  organization_id: string | null,
  receiver: { url: string },
  options: Record<string, unknown> = {},
): Promise<{ id: string; secret: string }> {
  const { status, body } = await call(person, "POST", "endpoints", {
    organization_id,
    name: "Receiver",
    url: receiver.url,
    subscriptions: [{ pattern: "audit.data.read" }],
    ...options,
  });
  assert.equal(status, 201, JSON.stringify(body));
  return body as { id: string; secret: string };
}

/** Appends audit entries, each in a transaction of its own, and returns their resources. */
export async function cause(
  organization: string,
  count: number,
  resource: (index: number) => string = (index) => String(index),
): Promise<void> {
  const sql = connect(1);
  for (let index = 0; index < count; index++) {
    await sql`
      select bulwark.log_audit_event(
        'data.read', 'look', ${organization}, 'public.reports', ${resource(index)}
      )
    `;
  }
  await sql.end();
}

/** Verifies a request as a receiver does, and returns the payload. */
export async function verified(got: Received, secret: string): Promise<Record<string, unknown>> {
  const { timestamp } = got as Received & { timestamp: string };
  const { payload } = await verifyWebhook(
    new Request("https://receiver.test/", {
      method: "POST",
      headers: {
        "webhook-id": got.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": got.signature,
      },
      body: got.body,
    }),
    [secret],
  );
  return payload as Record<string, unknown>;
}

/** A worker besides those of the stack, with the same code and its own name. */
export async function work(worker: string, limits: Partial<RunLimits> = {}) {
  const env = readWebhookEnv((name) =>
    name === "SUPABASE_URL"
      ? url
      : name === "SUPABASE_ANON_KEY"
      ? publishableKey
      : name === "SUPABASE_SERVICE_ROLE_KEY"
      ? Deno.env.get("BULWARK_TEST_SECRET_KEY")
      : name === "BULWARK_ENCRYPTION_KEYS"
      ? Deno.env.get("BULWARK_TEST_ENCRYPTION_KEYS")
      : name === "BULWARK_WEBHOOKS_ALLOW_LOOPBACK"
      ? "true"
      : undefined
  );
  const client = service();
  const keys = openDataKeys(client, env);
  return await deliver({ client, keys, policy: env, source: "bulwark.test" }, {
    worker,
    ...limits,
  });
}

/** Changes settings of the installation. */
export async function set(settings: Record<string, number>): Promise<void> {
  const sql = connect(1);
  for (const [name, value] of Object.entries(settings)) {
    await sql`
      update bulwark.settings set value = to_jsonb(${value}::numeric)
      where name = ${`webhooks.${name}`}
    `;
  }
  await sql.end();
}
