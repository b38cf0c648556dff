/** Invitations as e-mail, sent to a provider on this machine. */
import assert from "node:assert/strict";
import type { Limit } from "../../../supabase/functions/_bulwark/rate_limits/mod.ts";
import { BulwarkError } from "../../../supabase/functions/_bulwark/foundation/errors.ts";
import {
  forInvitations,
  message,
} from "../../../supabase/functions/_bulwark/webhooks/invitations.ts";
import { openSigner } from "../../../supabase/functions/_bulwark/webhooks/signing.ts";

const secret = `whsec_${btoa("a secret of thirty-two characters")}`;
const data = {
  id: "00000000-0000-4000-8000-000000000001",
  organization: { id: "00000000-0000-4000-8000-000000000002", name: "Acme", slug: "acme" },
  email: "vic@example.com",
  role: "viewer",
  invited_by: { name: "Ada", email: "ada@example.com" },
  expires_at: "2027-01-31T18:00:00+00:00",
  role_expires_at: null,
  token: "t".repeat(43),
  link: `https://app.example.com/invitations#token=${"t".repeat(43)}`,
};

interface Asked {
  authorization: string | null;
  body: Record<string, unknown>;
}

/** A provider on loopback that keeps what it is asked and answers with this status. */
async function withProvider(
  status: number,
  work: (url: string, asked: Asked[]) => Promise<void>,
): Promise<void> {
  const asked: Asked[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const authorization = request.headers.get("authorization");
      asked.push({ authorization, body: await request.json() });
      return new Response(data.token, { status });
    },
  );
  await work(`http://127.0.0.1:${server.addr.port}/emails`, asked);
  await server.shutdown();
}

function signed(payload: unknown, by = secret, now = new Date()): Request {
  const body = JSON.stringify(payload);
  return new Request("https://project.test/functions/v1/bulwark-webhooks/invitations", {
    method: "POST",
    headers: {
      "webhook-id": "msg_1",
      "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
      "webhook-signature": openSigner(by).sign("msg_1", now, body),
    },
    body,
  });
}

const created = { id: "msg_1", type: "invitation.created", timestamp: "", severity: "info", data };
const env = (url: string) => ({ secret, url, key: "re_key", from: "Acme <mail@example.com>" });

/** A limit that records which rules were charged. */
function limits(): { limit: Limit; charged: string[] } {
  const charged: string[] = [];
  const limit: Limit = (rule, handler) => async (request) => {
    charged.push(String(rule));
    return await (handler as (request: Request) => Promise<Response>)(request);
  };
  return { limit, charged };
}

const codeOf = async (answer: Promise<Response>) => {
  try {
    return (await answer).status;
  } catch (thrown) {
    assert.ok(thrown instanceof BulwarkError);
    assert.ok(!thrown.message.includes(data.token));
    return `${thrown.status} ${thrown.code}`;
  }
};

Deno.test("WHK-M01: an invitation becomes one message to the invitee", async () => {
  await withProvider(200, async (url, asked) => {
    const { limit, charged } = limits();
    assert.equal(await codeOf(forInvitations(limit, env(url))(signed(created))), 204);
    assert.deepEqual(charged, []);
    assert.equal(asked.length, 1);
    assert.equal(asked[0]?.authorization, "Bearer re_key");
    const { from, to, subject, text } = asked[0]?.body ?? {};
    assert.deepEqual({ from, to, subject }, {
      from: "Acme <mail@example.com>",
      to: ["vic@example.com"],
      subject: "Invitation to Acme",
    });
    assert.match(String(text), /Ada \(ada@example\.com\) invites you to Acme, as viewer\./);
    assert.ok(String(text).includes(data.link));
  });
});

Deno.test("WHK-M02: a message that nobody signed, or somebody else, is refused and charged", async () => {
  await withProvider(200, async (url, asked) => {
    const other = `whsec_${btoa("another secret of thirty-two char")}`;
    const unsigned = new Request("https://project.test/", { method: "POST", body: "{}" });
    const old = signed(created, secret, new Date(Date.now() - 400_000));
    for (const request of [signed(created, other), unsigned, old]) {
      const { limit, charged } = limits();
      assert.equal(await codeOf(forInvitations(limit, env(url))(request)), "401 UNAUTHORIZED");
      assert.deepEqual(charged, ["api_default"]);
    }
    const { limit } = limits();
    const unset = forInvitations(limit, { ...env(url), secret: null });
    assert.equal(await codeOf(unset(signed(created))), "401 UNAUTHORIZED");
    assert.equal(asked.length, 0);
  });
});

Deno.test("WHK-M03: other events, samples and invitations that ended send nothing", async () => {
  await withProvider(200, async (url, asked) => {
    const handler = forInvitations(limits().limit, env(url));
    const removed = { ...created, data: { id: data.id, removed: true } };
    for (const payload of [removed, { ...created, type: "webhook.test", data: { message: "x" } }]) {
      assert.equal(await codeOf(handler(signed(payload))), 204);
    }
    assert.equal(asked.length, 0);
  });
});

Deno.test("WHK-M04: what the provider refuses, or a missing setting, fails so that it is tried again", async () => {
  const failed = "502 WEBHOOK_MAIL_FAILED";
  await withProvider(500, async (url) => {
    const { limit } = limits();
    assert.equal(await codeOf(forInvitations(limit, env(url))(signed(created))), failed);
    const noKey = forInvitations(limit, { ...env(url), key: null });
    assert.equal(await codeOf(noKey(signed(created))), failed);
    const noLink = { ...created, data: { ...data, link: null } };
    assert.equal(await codeOf(forInvitations(limit, env(url))(signed(noLink))), failed);
  });
  const nobody = forInvitations(limits().limit, env("http://127.0.0.1:9/emails"));
  assert.equal(await codeOf(nobody(signed(created))), failed);
});

Deno.test("WHK-M05: a name that a mail program would make a link of is not in the message", () => {
  for (const name of ["Win at evil.example", "https://evil"]) {
    const { subject, text } = message({
      ...data,
      organization: { name, slug: "acme" },
      invited_by: { name, email: "ada@example.com" },
    });
    assert.ok(!`${subject}${text}`.includes("evil"));
    assert.match(text, /^ada@example\.com invites you to acme/);
  }
  assert.match(
    message({ ...data, organization: { name: "Acme Inc.", slug: "acme" } }).subject,
    /Inc\.$/,
  );
  assert.match(message({ ...data, invited_by: null }).text, /^You are invited to Acme/);
});

Deno.test("WHK-M06: the message says until when a role is given", () => {
  const role_expires_at = "2027-02-03T18:00:00+00:00";
  assert.match(
    message({ ...data, role_expires_at }).text,
    /as viewer until 2027-02-03 18:00 UTC\./,
  );
  assert.doesNotMatch(message(data).text, /until/);
});
