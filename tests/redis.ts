/** A Redis server of its own, for tests and benchmarks. */
import { Redis } from "ioredis";
import { freePort } from "../scripts/stack/ports.ts";

/** Where Debian's redis-server is, or null. */
export const redisServer = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"]
  .find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  }) ?? null;

/** A running server. */
export interface RedisServer {
  url: string;
  redis: Redis;
  stop(): Promise<void>;
}

/** Starts a server on a free port of loopback, which keeps nothing on disk. */
export async function startRedis(): Promise<RedisServer> {
  if (!redisServer) throw new Error("redis-server is not installed (Debian: redis-server)");
  const port = freePort();
  const child = new Deno.Command(redisServer, {
    args: ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const url = `redis://127.0.0.1:${port}`;
  const redis = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: 100 });
  redis.on("error", () => {});
  await redis.ping();
  return {
    url,
    redis,
    async stop() {
      redis.disconnect();
      child.kill("SIGTERM");
      await child.status;
    },
  };
}
