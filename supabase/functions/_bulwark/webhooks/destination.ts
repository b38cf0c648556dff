import { BulwarkError } from "../foundation/errors.ts";
import { classifyAddress } from "./address.ts";

/**
 * The address of an endpoint and its routing key, encrypted together because both can be
 * credentials.
 */
export interface Destination {
  url: string;
  /** PagerDuty's integration key. */
  routingKey?: string;
}

/** Exceptions that an installation allows; by default none. */
export interface AddressPolicy {
  /** Allows http and loopback addresses, for development on one machine. */
  allowLoopback: boolean;
}

const maximumLength = 2048;

/**
 * Checks the text of an address; the addresses of its name are checked at delivery. Returns the URL
 * as it is sent: normalized, without a fragment.
 * @throws BulwarkError 400 WEBHOOK_URL_NOT_ALLOWED with the reason, never the address
 */
export function checkUrl(text: string, { allowLoopback }: AddressPolicy): URL {
  const refuse = (reason: string) =>
    new BulwarkError(400, "WEBHOOK_URL_NOT_ALLOWED", `Cannot deliver to the address: ${reason}`);
  if (text.length > maximumLength) throw refuse("it is longer than 2,048 characters");
  if (!URL.canParse(text)) throw refuse("it is no URL");
  const url = new URL(text);
  if (url.username || url.password) throw refuse("it holds credentials");
  const literal = literalOf(url);
  const kind = literal === null ? "public" : classifyAddress(literal);
  const loopback = kind === "loopback" || url.hostname === "localhost";
  if (url.protocol !== "https:" && !(allowLoopback && loopback && url.protocol === "http:")) {
    throw refuse("it is not https");
  }
  if (kind !== "public" && !(allowLoopback && loopback)) throw refuse("it is not public");
  if (literal === null && !isName(url.hostname) && !(allowLoopback && loopback)) {
    throw refuse("its host is no name of the internet");
  }
  url.hash = "";
  return url;
}

/** The IP address in a URL's host, or null for a name. */
export function literalOf({ hostname }: URL): string | null {
  if (hostname.startsWith("[")) return hostname.slice(1, -1);
  // URL normalizes every spelling of an IPv4 address.
  return /^\d+\.\d+\.\d+\.\d+$/.test(hostname) ? hostname : null;
}

/** A name with a dot that is not reserved for local use (RFC 6761, RFC 6762). */
function isName(hostname: string): boolean {
  const name = hostname.replace(/\.$/, "").toLowerCase();
  return name.includes(".") &&
    !/(^|\.)(localhost|local|internal|intranet|lan|home\.arpa|invalid|onion)$/.test(name);
}
