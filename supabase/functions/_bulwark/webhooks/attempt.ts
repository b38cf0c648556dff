/** One attempt of one delivery, from the sealed endpoint to what the delivery log says of it. */
import { retryAfterSeconds } from "../foundation/retry_after.ts";
import { type AddressPolicy, checkUrl } from "./destination.ts";
import type { WebhookEvent } from "./event.ts";
import { renderBody, type WebhookFormat } from "./formats.ts";
import { AddressRefused, type Network, send, TimedOut } from "./send.ts";
import type { Signer } from "./signing.ts";

/** An endpoint whose address and secrets are open. */
export interface OpenEndpoint {
  id: string;
  url: URL;
  format: WebhookFormat;
  followRedirects: boolean;
  routingKey?: string | undefined;
  /** The newest first; each signs. */
  signers: readonly Signer[];
}

/** A delivery that was claimed. */
export interface ClaimedDelivery {
  id: string;
  attempt_id: string;
  attempt: number;
  endpoint_id: string;
  ordering_key: string | null;
  body: WebhookEvent;
}

/** How an attempt ended; without an outcome it was not made. */
export interface AttemptResult {
  delivery_id: string;
  attempt_id: string;
  outcome?: "delivered" | "rejected" | "timed_out" | "unreachable" | "forbidden" | "unreadable";
  status?: number;
  latency_ms?: number;
  /** What the receiver said, or what went wrong. */
  response?: string;
  retry_after_seconds?: number;
}

/** What is kept of an answer: characters. */
export const excerptLength = 1024;

/** Opens an endpoint's address and says whether it may be delivered to; throws what checkUrl throws. */
export function openUrl(text: string, origin: string, policy: AddressPolicy): URL {
  const url = checkUrl(text, policy);
  if (url.origin !== origin) throw new AddressRefused("the address is of another origin");
  return url;
}

/**
 * Makes one attempt. Never throws: what goes wrong is the result. One that the network's signal cuts
 * off has timed out.
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
    const response = excerpt(text, [...signatures, routingKey ?? "", pathname + search]);
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

/** The first characters of an answer, without control characters and without what is secret. */
export function excerpt(bytes: Uint8Array, secrets: readonly string[]): string {
  let text = new TextDecoder().decode(bytes.subarray(0, excerptLength * 8));
  // Longest first: a secret that holds another one leaves nothing of it behind.
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
