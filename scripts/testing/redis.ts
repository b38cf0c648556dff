/** A Redis server of its own, for tests, benchmarks and the tour. */
import { Redis } from "ioredis";
import { exists } from "../stack/binaries.ts";
import { freePort } from "../stack/ports.ts";
import { makeScratchFolder } from "../stack/scratch.ts";

/** A redis-server of a test's own, which it may kill and start again on the same port. */
export interface TestRedis {
  url: string;
  /** A connection, open until the server stops. */
  connect(maxRetriesPerRequest?: number): Redis;
  start(): Promise<void>;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
  /** Stops it from answering, with its connections open, and lets it go on. */
  freeze(): void;
  thaw(): void;
  /** Kills it for good and removes what it left. */
  stop(): Promise<void>;
}

/** Where Debian puts it; null where it is not installed. */
export const redisServer = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].find(exists) ??
  null;

/** Starts a redis-server that keeps nothing on disk, with more arguments where they are given. */
export async function startRedis(more: string[] = []): Promise<TestRedis> {
  if (!redisServer) throw new Error("redis-server is not installed (Debian: redis-server)");
  const binary = redisServer;
  const scratch = await makeScratchFolder("redis");
  const port = freePort();
  const url = `redis://127.0.0.1:${port}`;
  const connections: Redis[] = [];
  let child: Deno.ChildProcess | undefined;
  const kill = async () => {
    try {
      child?.kill("SIGKILL");
    } catch {
      // it ended by itself
    }
    await child?.status;
    child = undefined;
  };
  const start = async () => {
    child = new Deno.Command(binary, {
      args: [
        ...["--port", String(port), "--bind", "127.0.0.1", "--dir", scratch.path],
        ...["--save", "", "--appendonly", "no", ...more],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    for (let tries = 0; tries < 500; tries++) {
      try {
        (await Deno.connect({ hostname: "127.0.0.1", port })).close();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    throw new Error("redis-server does not listen");
  };
  await start();
  return {
    url,
    connect(maxRetriesPerRequest = 20) {
      const redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest });
      redis.on("error", () => {});
      connections.push(redis);
      return redis;
    },
    start,
    kill,
    freeze: () => child?.kill("SIGSTOP"),
    thaw: () => child?.kill("SIGCONT"),
    async stop() {
      for (const redis of connections) redis.disconnect();
      await kill();
      await scratch.remove();
    },
  };
}

/** A test with a server of its own; ignored where none is installed. */
export function redisTest(
  claim: string,
  test: (server: TestRedis) => Promise<void>,
  more: string[] = [],
): void {
  Deno.test({
    name: redisServer ? claim : `${claim} (needs redis-server; Debian: redis-server)`,
    ignore: !redisServer,
    // ioredis ends its socket after disconnect() returns.
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const server = await startRedis(more);
      try {
        await test(server);
      } finally {
        await server.stop();
      }
    },
  });
}
