import { lookup } from "node:dns/promises";
import { literalOf } from "./destination.ts";

/** All addresses of a host. @throws if it has none */
export type Resolve = (url: URL) => Promise<string[]>;

/**
 * Asks the system's resolver once for all IPv4 and IPv6 addresses; an IP address is returned as it
 * is.
 */
export const systemResolve: Resolve = async (url) => {
  const literal = literalOf(url);
  if (literal !== null) return [literal];
  const found = await lookup(url.hostname, { all: true });
  return [...new Set(found.map(({ address }) => address))];
};
