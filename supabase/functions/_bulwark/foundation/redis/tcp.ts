import type { Redis } from "ioredis";
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
 * Redis by TCP or TLS. It connects at the first command, and loads ioredis only then, which takes an
 * isolate some 100 ms.
 * @throws Error if the address is malformed; the message does not quote it
 */
export function overTcp(url: string, connectTimeoutMs: number): RedisCommands {
  if (!/^rediss?:$/.test(URL.parse(url)?.protocol ?? "")) {
    throw new Error("REDIS_URL is no address of the form redis://… or rediss://…");
  }
  let client: Redis | null = null;
  let connecting: Promise<Redis> | null = null;

  async function connect(): Promise<Redis> {
    const { Redis } = await import("ioredis");
    const made = new Redis(url, { ...clientOptions, connectTimeout: connectTimeoutMs });
    // connect() rejects without the reason; only this event has it.
    const refused = new Promise<never>((_, reject) => made.on("error", reject));
    try {
      const ready = made.connect().then(() => inspect(made));
      await withTimeout(Promise.race([refused, ready]), { timeoutMs: connectTimeoutMs });
      return client = made;
    } catch (thrown) {
      made.disconnect();
      throw new NoConnection(thrown);
    }
  }

  const isConnected = () => client?.status === "ready" && client.stream.writable;
  return {
    get isConnected() {
      return isConnected();
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

/** Rejects a cluster, a read-only replica and a server that is still loading. */
async function inspect(client: Redis): Promise<void> {
  const info = String(
    await client.call("INFO").catch((thrown) => {
      // If INFO is not allowed, later commands will show the state.
      if (causeOf(thrown).verdict === "answer") return "";
      throw thrown;
    }),
  );
  const says = (line: string) => new RegExp(`^${line}\\r?$`, "m").test(info);
  if (says("redis_mode:cluster") || says("cluster_enabled:1")) {
    throw new Error("CLUSTERDOWN is not asked for: the server is part of a Redis Cluster");
  }
  if (says("loading:1")) throw new Error("LOADING");
  if (says("role:slave") && !says("slave_read_only:0")) {
    throw new Error("READONLY the server is a replica");
  }
}
