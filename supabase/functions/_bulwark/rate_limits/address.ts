import type { RateLimitEnv } from "./env.ts";

/** The header and the number of proxies that are trusted to name the client's address. */
export type AddressTrust = Pick<RateLimitEnv, "addressHeader" | "addressHops">;

/**
 * The client's address as the outermost trusted proxy wrote it, or null. Each proxy appends the
 * address of its client, so that entry is `addressHops` from the end. Entries further left are
 * claims of the client.
 */
export function clientAddress(request: Request, trust: AddressTrust): string | null {
  const header = trust.addressHeader && request.headers.get(trust.addressHeader);
  if (!header) return null;
  return header.split(",").at(-trust.addressHops)?.trim() || null;
}

/**
 * The network by which an address is limited: IPv4 as it is, IPv6 by its /64, because a client
 * usually owns all of it; null if the text is no address. Equals bulwark_private.client_network.
 */
export function networkOf(address: string | null | undefined): string | null {
  const given = (address ?? "").slice(0, 100).trim();
  const bare = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(given)?.[1] ??
    /^([\d.]+):\d{1,5}$/.exec(given)?.[1] ?? given;
  if (isIPv4(bare)) return bare;
  if (!/^[0-9a-f:.]{2,45}$/i.test(bare) || !bare.includes(":")) return null;
  let host: string;
  try {
    host = new URL(`http://[${bare}]/`).hostname.slice(1, -1);
  } catch {
    return null;
  }
  const groups = expand(host);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    const [high = 0, low = 0] = groups.slice(6);
    return [high >> 8, high & 255, low >> 8, low & 255].join(".");
  }
  const network = new URL(
    `http://[${groups.slice(0, 4).map((group) => group.toString(16)).join(":")}::]/`,
  );
  return `${network.hostname.slice(1, -1)}/64`;
}

function isIPv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 &&
    parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
}

/** The eight groups of an IPv6 address in the form of the URL standard. */
function expand(host: string): number[] {
  const [head = "", tail] = host.split("::");
  const groups = (text: string) => text ? text.split(":").map((group) => parseInt(group, 16)) : [];
  const [left, right] = [groups(head), groups(tail ?? "")];
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}
