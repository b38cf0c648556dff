/**
 * Sends a message to an address without becoming a way into the network: the name is resolved once,
 * every address it has is judged, and the connection goes to one of those that were judged. Neither
 * fetch() nor node:https can do that on Deno 2.1: both resolve the name again when they connect.
 */
import { mayDeliverTo } from "./address.ts";
import { type Connection, ConnectionFailure, type Dial, quietlyClose } from "./connection.ts";
import { type AddressPolicy, checkUrl, literalOf } from "./destination.ts";
import { type Answer, exchange, NoAnswer, writeRequest } from "./exchange.ts";
import type { Pool } from "./pool.ts";
import type { Resolve } from "./resolve.ts";

/** What is sent. */
export interface Message {
  /** Whose it is: a connection is shared with nobody else, whatever it answered before. */
  owner: string;
  headers: Record<string, string>;
  body: string;
}

/** What sending stands on. */
export interface Network {
  resolve: Resolve;
  dial: Dial;
  pool: Pool;
  policy: AddressPolicy;
  /** Milliseconds for a connection, and for everything together. */
  connectTimeout: number;
  timeout: number;
  /** Ends it before its time. */
  signal?: AbortSignal | undefined;
}

/** Milliseconds. */
export const timeouts = { connectTimeout: 5000, timeout: 15_000 };

/**
 * Milliseconds for everything, for an endpoint that timed out so often in a row: 15 s, 5 s, then 3 s.
 * Every eighth time all 15, so that one that is only slow finds its way back.
 */
export function timeoutAfter(timedOut: number): number {
  if (timedOut % 8 === 0) return timeouts.timeout;
  return timedOut === 1 ? 5000 : 3000;
}

/** The address is not one that deliveries go to. */
export class AddressRefused extends Error {
  override readonly name = "AddressRefused";
}

/** The answer did not come in time. */
export class TimedOut extends Error {
  override readonly name = "TimedOut";
}

const redirectLimit = 3;
/** Of a name that has more, the rest is not tried. */
const addressLimit = 3;

/**
 * Posts a message and returns the answer, whatever its status.
 * @param followRedirects follows 307 and 308, which repeat the request, up to three times; each
 * address on the way is judged like the first
 * @throws AddressRefused, TimedOut, ConnectionFailure, ExchangeFailure
 */
export async function send(
  network: Network,
  url: URL,
  message: Message,
  followRedirects = false,
): Promise<Answer> {
  const deadline = performance.now() + network.timeout;
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
      // Closing is also what ends an exchange that ran out of time.
      if (reusable) network.pool.give(key, connection, keepFor);
      else quietlyClose(connection);
    }
  };
  const kept = network.pool.take(key);
  if (kept) {
    try {
      return await post(kept);
    } catch (thrown) {
      // A receiver may close an idle connection while the request is on its way (RFC 9112,
      // section 9.3.1). A fresh connection gets no second chance.
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

/** Tries one address after the other; nothing was sent yet, so no attempt is doubled. */
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
    const left = Math.min(network.connectTimeout, deadline - performance.now());
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
  // What the task throws after its time, because its connection was closed, is no news.
  task.catch(() => {});
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const expire = () => reject(new TimedOut("no answer in time"));
  const timer = setTimeout(expire, Math.max(0, deadline - performance.now()));
  signal?.addEventListener("abort", expire);
  if (signal?.aborted) expire();
  try {
    return await Promise.race([task, expired]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", expire);
  }
}
