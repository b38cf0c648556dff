import type { Cluster, Redis } from "ioredis";
import { causeOf, NoConnection } from "./cause.ts";
import type { RedisCommands } from "./client.ts";
import { withTimeout } from "../timeout.ts";

/** ioredis neither queues, resends nor reconnects: the breaker decides when to connect. */
const clientOptions = {
  lazyConnect: true,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  // A resent command could run after newer ones.
  autoResendUnfulfilledCommands: false,
  retryStrategy: () => null,
  // Replaced by inspect().
  enableReadyCheck: false,
};

/**
 * For a Redis Cluster. ioredis follows MOVED and ASK, whose commands were not run. It does not repeat
 * one whose connection was lost, nor waits for a cluster that is down.
 */
const clusterOptions = {
  lazyConnect: true,
  // For commands to a node that is still being connected to, at its first use.
  enableOfflineQueue: true,
  clusterRetryStrategy: () => null,
  // The commands' answers show the state.
  enableReadyCheck: false,
  retryDelayOnFailover: 0,
  retryDelayOnClusterDown: 0,
  slotsRefreshInterval: 5000,
};

/** A node of a cluster, or a single server. */
interface Address {
  host: string;
  port: number;
}

/**
 * The addresses in REDIS_URL: one, or several nodes of a cluster, separated by commas.
 * @throws Error if one is malformed; the message does not quote it
 */
export function addressesOf(url: string): URL[] {
  // A password may contain commas.
  return url.split(/,\s*(?=[a-z]+:\/\/)/).map((part) => {
    const address = URL.parse(part.trim());
    if (address && /^rediss?:$/.test(address.protocol)) return address;
    throw new Error("REDIS_URL is no address of the form redis://… or rediss://…");
  });
}

/**
 * Redis by TCP or TLS: a server, or a cluster, which is recognized as such. It connects at the first
 * command, and loads ioredis only then, which takes an isolate some 100 ms.
 * @throws Error if the address is malformed; the message does not quote it
 */
export function overTcp(url: string, connectTimeoutMs: number): RedisCommands {
  const addresses = addressesOf(url);
  /** Nodes of the cluster that were known last, in case the configured ones are away. */
  let nodes: Address[] = [];
  let client: Redis | Cluster | null = null;
  let connecting: Promise<Redis | Cluster> | null = null;

  async function connect(): Promise<Redis | Cluster> {
    if (addresses.length > 1 || nodes.length > 0) return await connectCluster();
    const { Redis } = await import("ioredis");
    const made = new Redis(addresses[0]!.href, {
      ...clientOptions,
      connectTimeout: connectTimeoutMs,
    });
    let isCluster = false;
    await established(made, made.connect().then(async () => isCluster = await inspect(made)));
    if (!isCluster) return client = made;
    made.disconnect();
    return await connectCluster();
  }

  async function connectCluster(): Promise<Cluster> {
    const { Cluster } = await import("ioredis");
    const { username, password, protocol } = addresses[0]!;
    const redisOptions = {
      ...clientOptions,
      connectTimeout: connectTimeoutMs,
      ...username ? { username: decodeURIComponent(username) } : {},
      ...password ? { password: decodeURIComponent(password) } : {},
      ...protocol === "rediss:" ? { tls: {} } : {},
    };
    const configured = addresses.map(({ hostname, port }) => ({
      host: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port || 6379),
    }));
    const made = new Cluster([...configured, ...nodes], {
      ...clusterOptions,
      slotsRefreshTimeout: connectTimeoutMs,
      redisOptions,
    });
    await established(made, made.connect());
    nodes = made.nodes().map(({ options }) => ({ host: options.host!, port: options.port! }));
    return client = made;
  }

  /** Waits for a connection; closes it if it fails. */
  async function established(made: Redis | Cluster, ready: Promise<unknown>): Promise<void> {
    // connect() rejects without the reason; only this event has it.
    const refused = new Promise<never>((_, reject) => made.on("error", reject));
    try {
      await withTimeout(Promise.race([refused, ready]), { timeoutMs: connectTimeoutMs });
    } catch (thrown) {
      made.disconnect();
      throw new NoConnection((thrown as { lastNodeError?: Error }).lastNodeError ?? thrown);
    }
  }

  const isConnected = () =>
    client?.status === "ready" && (!("stream" in client) || client.stream.writable);
  return {
    get isConnected() {
      return isConnected();
    },
    get isCluster() {
      return !client || !("stream" in client);
    },
    async call(command, ...args) {
      if (!isConnected()) await (connecting ??= connect().finally(() => connecting = null));
      return await client!.call(command, ...args);
    },
    drop() {
      client?.disconnect();
      client = null;
    },
  };
}

/** Whether the server is part of a cluster. Rejects a read-only replica and a server that is loading. */
async function inspect(client: Redis): Promise<boolean> {
  const info = String(
    await client.call("INFO").catch((thrown) => {
      // If INFO is not allowed, later commands will show the state.
      if (causeOf(thrown).verdict === "answer") return "";
      throw thrown;
    }),
  );
  const says = (line: string) => new RegExp(`^${line}\\r?$`, "m").test(info);
  if (says("redis_mode:cluster") || says("cluster_enabled:1")) return true;
  if (says("loading:1")) throw new Error("LOADING");
  if (says("role:slave") && !says("slave_read_only:0")) {
    throw new Error("READONLY the server is a replica");
  }
  return false;
}
