/**
 * For receivers: checks a webhook as Standard Webhooks has it. Copy this file; it needs
 * `npm:standardwebhooks` and nothing else of Bulwark.
 *
 *     const { id, payload } = await verifyWebhook(request, [Deno.env.get("WEBHOOK_SECRET")], seen);
 */
import { Webhook, WebhookVerificationError } from "standardwebhooks";

/** Why a message is not to be acted upon. */
export class WebhookRefused extends Error {
  override readonly name = "WebhookRefused";

  /**
   * @param fault `invalid`: tampered, signed with another secret, or stale by more than five minutes;
   * answer 401. `repeated`: genuine and seen before; answer 2xx and do nothing.
   */
  constructor(readonly fault: "invalid" | "repeated") {
    super(`Cannot accept the webhook: it is ${fault}`);
  }
}

/**
 * Remembers ids, for as long as retries and replays may come, and in the transaction of what is done
 * about the message: what failed comes again, and must not be taken for done.
 */
export interface SeenIds {
  /** Remembers an id; false where it was remembered already. Has to be atomic. */
  remember(id: string): Promise<boolean>;
}

/** A message that is genuine, fresh and new. */
export interface VerifiedWebhook {
  /** The webhook-id: the same in every attempt. */
  id: string;
  payload: unknown;
}

/** More than the largest delivery has. */
const maximumBytes = 1024 * 1024;

/**
 * Verifies a request, reading its body.
 * @param secrets all that are valid now, `whsec_…`: one, or two while they are being exchanged
 * @param seen where ids are remembered; without it a repeated message is not told from a new one
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
  // Verified: the id is part of what was signed.
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

/** The body exactly as it came: the signature is over its bytes, so none is left out or replaced. */
async function readText(request: Request): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  let size = 0;
  try {
    // Not "for await": with the types of browsers a stream cannot be walked through.
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
    // A TypeError: the bytes are no text, or the sender went away.
    throw thrown instanceof TypeError ? new WebhookRefused("invalid") : thrown;
  }
}
