import { BulwarkError } from "../foundation/errors.ts";
import { classifyAddress } from "./address.ts";

/** Where an endpoint is; sealed as one, because both can be credentials. */
export interface Destination {
  url: string;
  /** What PagerDuty calls the integration key. */
  routingKey?: string;
}

/** What an installation allows; by default neither. */
export interface AddressPolicy {
  /** Whether http and loopback addresses will do: for development on one machine. */
  allowLoopback: boolean;
}

const maximumLength = 2048;

/**
 * An address that deliveries may go to as far as its text can tell; what its name resolves to is
 * decided when it is delivered to. The URL comes back as it is sent: normalized, without a fragment.
 * @throws BulwarkError 400 WEBHOOK_URL_NOT_ALLOWED saying what is wrong, never the address
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

/** The IP address that a URL's host is, or null where it is a name. */
export function literalOf({ hostname }: URL): string | null {
  if (hostname.startsWith("[")) return hostname.slice(1, -1);
  // The parser turned every spelling of an IPv4 address into this one.
  return /^\d+\.\d+\.\d+\.\d+$/.test(hostname) ? hostname : null;
}

/** A name with a dot in it, and not one that is reserved for local use (RFC 6761, RFC 6762). */
function isName(hostname: string): boolean {
  const name = hostname.replace(/\.$/, "").toLowerCase();
  return name.includes(".") &&
    !/(^|\.)(localhost|local|internal|intranet|lan|home\.arpa|invalid|onion)$/.test(name);
}
