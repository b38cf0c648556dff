/** One attempt of one delivery: from the encrypted endpoint to the entry for the delivery log. */
import { retryAfterSeconds } from "../foundation/retry_after.ts";
import { type AddressPolicy, checkUrl } from "./destination.ts";
import type { WebhookEvent } from "./event.ts";
import { renderBody, type WebhookFormat } from "./formats.ts";
import { AddressRefused, type Network, send, TimedOut } from "./send.ts";
import type { Signer } from "./signing.ts";

/** An endpoint with decrypted address and secrets. */
export interface OpenEndpoint {
  id: string;
  url: URL;
  format: WebhookFormat;
  followRedirects: boolean;
  routingKey?: string | undefined;
  /** The newest first; each signs. */
  signers: readonly Signer[];
}

/** A claimed delivery. */
export interface ClaimedDelivery {
  id: string;
  attempt_id: string;
  attempt: number;
  endpoint_id: string;
  ordering_key: string | null;
  body: WebhookEvent;
}

/** The result of an attempt; without an outcome it was not made. */
export interface AttemptResult {
  delivery_id: string;
  attempt_id: string;
  outcome?: "delivered" | "rejected" | "timed_out" | "unreachable" | "forbidden" | "unreadable";
  status?: number;
  latency_ms?: number;
  /** The receiver's response, or the error. */
  response?: string;
  retry_after_seconds?: number;
}

/** Stored length of a response, in characters. */
export const excerptLength = 1024;

/** Decrypts an endpoint's address and checks it. Throws the errors of checkUrl. */
export function openUrl(text: string, origin: string, policy: AddressPolicy): URL {
  const url = checkUrl(text, policy);
  if (url.origin !== origin) throw new AddressRefused("the address is of another origin");
  return url;
}

/**
 * Makes one attempt. Never throws: errors are results. An attempt aborted by the network's signal
 * has timed out.
 */
export async function attempt(
  delivery: ClaimedDelivery,
  endpoint: OpenEndpoint,
  network: Network,
  source: string,
): Promise<AttemptResult> {
  const named = { delivery_id: delivery.id, attempt_id: delivery.attempt_id };
  const now = new Date();
  const { routingKey } = endpoint;
  const body = renderBody(endpoint.format, delivery.body, { id: delivery.id, source, routingKey });
  const signatures = endpoint.signers.map((signer) => signer.sign(delivery.id, now, body));
  const headers = {
    "content-type": "application/json",
    "user-agent": "Bulwark-Webhooks/1",
    accept: "*/*",
    "webhook-id": delivery.id,
    "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
    "webhook-signature": signatures.join(" "),
  };
  const started = performance.now();
  const latency = () => ({ latency_ms: Math.round(performance.now() - started) });
  try {
    const { status, headers: answered, body: text } = await send(
      network,
      endpoint.url,
      { owner: endpoint.id, headers, body },
      endpoint.followRedirects,
    );
    const { pathname, search } = endpoint.url;
    const response = excerpt(text, [
      ...signatures,
      routingKey ?? "",
      pathname + search,
      invitationToken(delivery.body),
    ]);
    const outcome = status >= 200 && status < 300 ? "delivered" : "rejected";
    const wait = retryAfterSeconds(answered.get("retry-after"), 86_400);
    const retry = outcome === "rejected" && wait > 0 ? { retry_after_seconds: wait } : {};
    return { ...named, outcome, status, ...latency(), response, ...retry };
  } catch (thrown) {
    const outcome = thrown instanceof AddressRefused
      ? "forbidden"
      : thrown instanceof TimedOut
      ? "timed_out"
      : "unreachable";
    return { ...named, outcome, ...latency(), response: describe(thrown) };
  }
}

/** The token of an invitation, which its receiver may repeat; empty for other events. */
function invitationToken({ data }: WebhookEvent): string {
  return typeof data?.token === "string" ? data.token : "";
}

/** The beginning of an answer, without control characters and secrets. */
export function excerpt(bytes: Uint8Array, secrets: readonly string[]): string {
  let text = new TextDecoder().decode(bytes.subarray(0, excerptLength * 8));
  // Longest first, so that a secret that contains another one is removed completely.
  for (const secret of secrets.toSorted((a, b) => b.length - a.length)) {
    if (secret.length >= 8) text = text.replaceAll(secret, "[redacted]");
  }
  // deno-lint-ignore no-control-regex
  const printable = text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, " ").toWellFormed();
  return [...printable].slice(0, excerptLength).join("");
}

function describe(thrown: unknown): string {
  const known = thrown instanceof Error &&
    /^(AddressRefused|TimedOut|ConnectionFailure|ExchangeFailure|NoAnswer)$/.test(thrown.name);
  return known ? thrown.message : "the connection broke";
}
