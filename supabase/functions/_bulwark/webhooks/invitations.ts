/**
 * Sends invitations as e-mail: the receiver of the event `invitation.created` that comes with Bulwark.
 * It speaks the API of Resend, which other providers offer too.
 */
import { timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { BulwarkError } from "../foundation/errors.ts";
import { type Handler, readBody } from "../foundation/http.ts";
import type { Limit } from "../rate_limits/mod.ts";
import type { MailEnv } from "./env.ts";
import { openSigner } from "./signing.ts";

const invitation = z.object({
  organization: z.object({ name: z.string(), slug: z.string() }),
  email: z.string(),
  role: z.string(),
  invited_by: z.object({ name: z.string().nullable(), email: z.string().nullable() }).nullable(),
  expires_at: z.string(),
  role_expires_at: z.string().nullable(),
  link: z.string(),
});

/** The event; data of an invitation that is no longer pending has `removed`. */
const event = z.object({
  type: z.string(),
  data: z.union([invitation, z.object({ removed: z.literal(true) })]),
});

/** Larger than any of these deliveries. */
const maximumBytes = 16_384;

/** How long the provider may take; a delivery has 15 seconds in all. */
const timeoutMs = 10_000;

/**
 * The handler for `POST /bulwark-webhooks/invitations`: 204 once the provider has taken the message, or
 * if there is nothing to send. Other callers than the webhook's worker are rate-limited and refused.
 * @throws BulwarkError 401 UNAUTHORIZED, 502 WEBHOOK_MAIL_FAILED (the delivery is attempted again)
 */
export function forInvitations(limit: Limit, env: MailEnv): Handler {
  const refuse = limit("api_default", () => {
    throw new BulwarkError(
      401,
      "UNAUTHORIZED",
      "Cannot proceed: this is for signed webhooks alone",
    );
  });
  return async (request) => {
    const { secret, key, from } = env;
    if (!secret) return await refuse(request);
    // The limit looks at headers alone.
    const headers = new Request(request.url, { headers: request.headers });
    const body = new TextDecoder().decode(await readBody(request, maximumBytes));
    if (!isSigned(headers, body, secret)) return await refuse(headers);
    const payload: unknown = JSON.parse(body);
    const { data, success } = event.safeParse(payload);
    if (!success) {
      // A sample of the endpoint, or an event that it subscribes to besides.
      if ((payload as { type?: unknown }).type !== "invitation.created") return done();
      throw mailFailed("the setting webhooks.invitation_link is missing");
    }
    if (data.type !== "invitation.created" || "removed" in data.data) return done();
    if (!key || !from) throw mailFailed("BULWARK_MAIL_KEY or BULWARK_MAIL_FROM is not set");
    await send({ ...env, key, from }, data.data);
    return done();
  };
}

/**
 * Whether the worker signed this, within five minutes, as in Standard Webhooks. Not `verifyWebhook`,
 * whose package the function would load for this alone.
 */
function isSigned({ headers }: Request, body: string, secret: string): boolean {
  const at = Number(headers.get("webhook-timestamp") ?? NaN) * 1000;
  if (!(Math.abs(Date.now() - at) <= 300_000)) return false;
  const bytes = (text: string) => new TextEncoder().encode(text);
  const id = headers.get("webhook-id") ?? "";
  const expected = bytes(openSigner(secret).sign(id, new Date(at), body));
  return (headers.get("webhook-signature") ?? "").split(" ").map(bytes).some((signature) =>
    signature.length === expected.length && timingSafeEqual(signature, expected)
  );
}

const done = () => new Response(null, { status: 204 });

function mailFailed(reason: string): BulwarkError {
  return new BulwarkError(502, "WEBHOOK_MAIL_FAILED", `Cannot send the invitation: ${reason}`);
}

async function send(
  env: MailEnv & { key: string; from: string },
  to: z.output<typeof invitation>,
): Promise<void> {
  const { subject, text } = message(to);
  let status: number;
  try {
    const answer = await fetch(env.url, {
      method: "POST",
      headers: { authorization: `Bearer ${env.key}`, "content-type": "application/json" },
      body: JSON.stringify({ from: env.from, to: [to.email], subject, text }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    ({ status } = answer);
    await answer.body?.cancel();
  } catch {
    // The error could name what was sent.
    throw mailFailed("the provider does not answer");
  }
  if (status < 200 || status > 299) throw mailFailed(`the provider answers ${status}`);
}

/** The message, as plain text: names are chosen by users, and nothing of them becomes markup. */
export function message(
  { organization, role, invited_by, expires_at, role_expires_at, link }: z.output<
    typeof invitation
  >,
): { subject: string; text: string } {
  // Mail programs make links of texts like this.
  const looksLikeLink = (text: string) => /[^\s.]\.[^\s.]|:\/\//.test(text);
  const name = looksLikeLink(organization.name) ? organization.slug : organization.name;
  const person = invited_by?.name && !looksLikeLink(invited_by.name)
    ? `${invited_by.name} (${invited_by.email ?? "no address"})`
    : invited_by?.email ?? null;
  const minute = (time: string) => `${time.slice(0, 16).replace("T", " ")} UTC`;
  const as = role_expires_at ? `${role} until ${minute(role_expires_at)}` : role;
  return {
    subject: `Invitation to ${name}`,
    text: [
      person
        ? `${person} invites you to ${name}, as ${as}.`
        : `You are invited to ${name}, as ${as}.`,
      `To accept, sign in with this address: ${link}`,
      `The invitation ends on ${
        minute(expires_at)
      }. If you do not know the sender, ignore this message.`,
    ].join("\n\n") + "\n",
  };
}
