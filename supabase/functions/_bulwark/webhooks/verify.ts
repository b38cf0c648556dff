/**
 * For receivers: verifies a webhook as in Standard Webhooks. Copy this file; it needs only
 * `npm:standardwebhooks`.
 *
 *     const { id, payload } = await verifyWebhook(request, [Deno.env.get("WEBHOOK_SECRET")], seen);
 */
import { Webhook, WebhookVerificationError } from "standardwebhooks";

/** The message must not be processed. */
export class WebhookRefused extends Error {
  override readonly name = "WebhookRefused";

  /**
   * @param fault `invalid`: altered, signed with another secret, or older than five minutes; answer
   * 401. `repeated`: genuine and seen before; answer 2xx and do nothing.
   */
  constructor(readonly fault: "invalid" | "repeated") {
    super(`Cannot accept the webhook: it is ${fault}`);
  }
}

/**
 * Stores message ids for as long as retries and replays may come. It must be in the transaction
 * that processes the message: a failed message comes again, and its id must not be known then.
 */
export interface SeenIds {
  /** Stores an id; false if it was stored already. Must be atomic. */
  remember(id: string): Promise<boolean>;
}

/** A message that is genuine, recent and new. */
export interface VerifiedWebhook {
  /** The webhook-id: the same in every attempt. */
  id: string;
  payload: unknown;
}

/** Larger than any delivery. */
const maximumBytes = 1024 * 1024;

/**
 * Verifies a request and reads its body.
 * @param secrets all valid secrets, `whsec_…`: one, or two during a rotation
 * @param seen stores ids; without it repeated messages are not detected
 * @throws WebhookRefused
 */
export async function verifyWebhook(
  request: Request,
  secrets: readonly string[],
  seen?: SeenIds,
): Promise<VerifiedWebhook> {
  const body = await readText(request);
  const headers = Object.fromEntries(
    ["webhook-id", "webhook-timestamp", "webhook-signature"]
      .map((name) => [name, request.headers.get(name) ?? ""] as const),
  );
  if (!secrets.some((secret) => isGenuine(secret, body, headers))) {
    throw new WebhookRefused("invalid");
  }
  // The id was verified as part of the signature.
  const id = headers["webhook-id"] ?? "";
  const payload: unknown = JSON.parse(body);
  if (seen && !await seen.remember(id)) throw new WebhookRefused("repeated");
  return { id, payload };
}

function isGenuine(secret: string, body: string, headers: Record<string, string>): boolean {
  try {
    new Webhook(secret).verify(body, headers, { jsonParse: false });
    return true;
  } catch (thrown) {
    if (thrown instanceof WebhookVerificationError) return false;
    throw thrown;
  }
}

/** The exact bytes of the body, as they were signed. */
async function readText(request: Request): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  let size = 0;
  try {
    // Not "for await": with browser types a stream is not iterable.
    const reader = request.body?.getReader();
    for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
      size += read.value.length;
      if (size > maximumBytes) {
        await reader?.cancel();
        throw new WebhookRefused("invalid");
      }
      text += decoder.decode(read.value, { stream: true });
    }
    return text + decoder.decode();
  } catch (thrown) {
    // A TypeError: the bytes are not UTF-8, or the sender disconnected.
    throw thrown instanceof TypeError ? new WebhookRefused("invalid") : thrown;
  }
}
