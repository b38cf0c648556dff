/**
 * Sends a message without giving access to the local network: the name is resolved once, every
 * address is checked, and the connection goes to a checked address. On Deno 2.1 neither fetch() nor
 * node:https can do that, since both resolve the name again.
 */
import { mayDeliverTo } from "./address.ts";
import { type Connection, ConnectionFailure, type Dial, quietlyClose } from "./connection.ts";
import { type AddressPolicy, checkUrl, literalOf } from "./destination.ts";
import { withTimeout } from "../foundation/timeout.ts";
import { type Answer, exchange, NoAnswer, writeRequest } from "./exchange.ts";
import type { Pool } from "./pool.ts";
import type { Resolve } from "./lookups.ts";

/** The message to send. */
export interface Message {
  /** Owner of the connection, which is not shared with other owners. */
  owner: string;
  headers: Record<string, string>;
  body: string;
}

/** Dependencies and limits of sending. */
export interface Network {
  resolve: Resolve;
  dial: Dial;
  pool: Pool;
  policy: AddressPolicy;
  /** Of the connection, and in total. */
  connectTimeoutMs: number;
  timeoutMs: number;
  /** Aborts the attempt. */
  signal?: AbortSignal | undefined;
}

export const timeouts = { connectTimeoutMs: 5000, timeoutMs: 15_000 };

/**
 * Total timeout in milliseconds by consecutive timeouts of the endpoint: 15 s, 5 s, then 3 s. Every
 * eighth time it is 15 s again, so that an endpoint that is only slow can recover.
 */
export function timeoutAfter(timedOut: number): number {
  if (timedOut % 8 === 0) return timeouts.timeoutMs;
  return timedOut === 1 ? 5000 : 3000;
}

/** The address is not allowed. */
export class AddressRefused extends Error {
  override readonly name = "AddressRefused";
}

/** The answer did not arrive in time. */
export class TimedOut extends Error {
  override readonly name = "TimedOut";
}

const redirectLimit = 3;
/** Number of addresses of a name that are tried. */
const addressLimit = 3;

/**
 * Posts a message and returns the answer, whatever its status.
 * @param followRedirects follows 307 and 308, which repeat the request, up to three times, and
 * checks each address
 * @throws AddressRefused, TimedOut, ConnectionFailure, ExchangeFailure
 */
export async function send(
  network: Network,
  url: URL,
  message: Message,
  followRedirects = false,
): Promise<Answer> {
  const deadline = performance.now() + network.timeoutMs;
  for (let hop = 0;; hop++) {
    const answer = await sendOnce(network, url, message, deadline);
    const location = answer.headers.get("location");
    const redirected = answer.status === 307 || answer.status === 308;
    if (!followRedirects || !redirected || !location || hop === redirectLimit) return answer;
    url = nextHop(location, url, network.policy);
  }
}

function nextHop(location: string, from: URL, policy: AddressPolicy): URL {
  try {
    const next = checkUrl(new URL(location, from).href, policy);
    if (from.protocol === "https:" && next.protocol !== "https:") throw new Error();
    return next;
  } catch {
    throw new AddressRefused("redirected to an address that is not allowed");
  }
}

async function sendOnce(
  network: Network,
  url: URL,
  message: Message,
  deadline: number,
): Promise<Answer> {
  const request = writeRequest(url, message.headers, message.body);
  const key = `${message.owner} ${url.origin}`;
  const post = async (connection: Connection) => {
    let reusable = false;
    let keepFor: number | undefined;
    try {
      const answer = await inTime(network, deadline, exchange(connection, request));
      ({ reusable, keepFor } = answer);
      return answer;
    } finally {
      // Closing also aborts an exchange that has timed out.
      if (reusable) network.pool.give(key, connection, keepFor);
      else quietlyClose(connection);
    }
  };
  const kept = network.pool.take(key);
  if (kept) {
    try {
      return await post(kept);
    } catch (thrown) {
      // A receiver may close an idle connection at any time (RFC 9112, section 9.3.1). This is
      // retried only on a reused connection.
      if (!(thrown instanceof NoAnswer)) throw thrown;
    }
  }
  return await post(await connect(network, url, deadline));
}

async function resolveAll({ resolve }: Network, url: URL): Promise<string[]> {
  try {
    return await resolve(url);
  } catch {
    throw new ConnectionFailure("the name does not resolve");
  }
}

/** Tries one address after the other. Nothing was sent yet, so no message is duplicated. */
async function connect(network: Network, url: URL, deadline: number): Promise<Connection> {
  const addresses = await inTime(network, deadline, resolveAll(network, url));
  if (!mayDeliverTo(addresses, network.policy.allowLoopback)) {
    throw new AddressRefused("the address is not public");
  }
  const tls = url.protocol === "https:";
  const port = Number(url.port) || (tls ? 443 : 80);
  const tlsName = tls ? literalOf(url) ?? url.hostname.replace(/\.$/, "") : null;
  let failure: unknown;
  for (const address of addresses.slice(0, addressLimit)) {
    const left = Math.min(network.connectTimeoutMs, deadline - performance.now());
    if (left <= 0) throw new TimedOut("no answer in time");
    const dialing = network.dial({ address, port, tlsName }, left);
    try {
      return await inTime(network, deadline, dialing);
    } catch (thrown) {
      if (thrown instanceof TimedOut) {
        dialing.then(quietlyClose, () => {});
        throw thrown;
      }
      failure = thrown;
    }
  }
  throw failure;
}

async function inTime<Value>(
  { signal }: Network,
  deadline: number,
  task: Promise<Value>,
): Promise<Value> {
  const timeoutMs = deadline - performance.now();
  const fallback = () => {
    throw new TimedOut("no answer in time");
  };
  return await withTimeout(task, { timeoutMs, fallback, signal });
}
