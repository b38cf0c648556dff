/** For receivers of webhooks: verifies a message as in Standard Webhooks. */

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
 * Stores message ids for as long as retries and replays may come. It must be in the transaction that
 * processes the message: a failed message comes again, and its id must not be known then.
 */
export interface SeenIds {
  /** Stores an id; false if it was stored already. Must be atomic. */
  remember(id: string): Promise<boolean>;
}

/** A request in the form of a server that is not based on Fetch. */
export interface RawRequest {
  headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The body exactly as it came, not parsed. */
  body: string | Uint8Array;
}

/** The body of a message. */
export interface WebhookMessage {
  id: string;
  /** `audit.<type>`, `security.<type>`, `security.<type>.resolved` or `webhook.test`, `invitation.created`. */
  type: string;
  timestamp: string;
  severity: "debug" | "info" | "warning" | "error" | "critical";
  /** The audit entry or the security event. */
  data: Record<string, unknown> | null;
}

/** A message that is genuine, recent and new. */
export interface VerifiedWebhook {
  /** The webhook-id: the same in every attempt. */
  id: string;
  payload: WebhookMessage;
}

/** Larger than any delivery. */
const maximumBytes = 1024 * 1024;
/** How far the sender's clock may be from ours, in seconds. */
const tolerance = 5 * 60;

/**
 * Verifies a request and reads its body.
 * @param request a Fetch request, or the headers and the raw body
 * @param secrets all valid secrets, `whsec_…`: one, or two during a rotation
 * @param seen stores ids; without it repeated messages are not detected
 * @throws WebhookRefused
 */
export async function verifyWebhook(
  request: Request | RawRequest,
  secrets: string | readonly string[],
  seen?: SeenIds,
): Promise<VerifiedWebhook> {
  const body = await bodyOf(request);
  const [id, timestamp, signatures] = ["id", "timestamp", "signature"].map((name) =>
    headerOf(request, `webhook-${name}`)
  ) as [string, string, string];
  const age = Date.now() / 1000 - Number(timestamp);
  if (!id || !/^\d{1,12}$/.test(timestamp) || !(Math.abs(age) <= tolerance)) throw invalid();
  const signed = concat(utf8(`${id}.${timestamp}.`), body);
  const given = signatures.split(" ").filter((one) => one.startsWith("v1,")).slice(0, 10)
    .map((one) => decode(one.slice(3)));
  for (const secret of typeof secrets === "string" ? [secrets] : secrets) {
    if (!await isSigned(secret, signed, given)) continue;
    const payload = parse(body);
    if (seen && !await seen.remember(id)) throw new WebhookRefused("repeated");
    return { id, payload };
  }
  throw invalid();
}

async function isSigned(
  secret: string,
  signed: Uint8Array<ArrayBuffer>,
  given: readonly (Uint8Array<ArrayBuffer> | null)[],
): Promise<boolean> {
  const bytes = decode(secret.replace(/^whsec_/, ""));
  if (!bytes?.length) {
    throw new TypeError("Cannot verify webhooks: a secret is not of the form whsec_…");
  }
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes, algorithm, false, ["verify"]);
  for (const signature of given) {
    // Compares in constant time.
    if (signature && await crypto.subtle.verify("HMAC", key, signature, signed)) return true;
  }
  return false;
}

function invalid(): WebhookRefused {
  return new WebhookRefused("invalid");
}

function parse(body: Uint8Array): WebhookMessage {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw invalid();
  }
}

function isFetch(request: Request | RawRequest): request is Request {
  return typeof (request as Request).headers.get === "function";
}

function headerOf(request: Request | RawRequest, name: string): string {
  if (isFetch(request)) return request.headers.get(name) ?? "";
  const value = request.headers[name];
  return (typeof value === "string" ? value : value?.[0]) ?? "";
}

/** The exact bytes of the body, as they were signed. */
async function bodyOf(request: Request | RawRequest): Promise<Uint8Array<ArrayBuffer>> {
  if (!isFetch(request)) {
    const { body } = request;
    const bytes = typeof body === "string" ? utf8(body) : new Uint8Array(body);
    if (bytes.length > maximumBytes) throw invalid();
    return bytes;
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Not "for await": with browser types a stream is not iterable.
  const reader = request.body?.getReader();
  for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
    chunks.push(read.value);
    if ((size += read.value.length) <= maximumBytes) continue;
    await reader?.cancel();
    throw invalid();
  }
  return concat(...chunks);
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(text));
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Base64 to bytes; null if it is none. */
function decode(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}
