import { makeScratchFolder } from "../stack/scratch.ts";

/** A redis-server of a test's own, which it may kill and start again on the same port. */
export interface TestRedis {
  url: string;
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
export function redisServer(): string | null {
  for (const path of ["/usr/bin/redis-server", "/usr/local/bin/redis-server"]) {
    try {
      Deno.statSync(path);
      return path;
    } catch {
      // not there
    }
  }
  return null;
}

/** Starts a redis-server that keeps nothing on disk, with more arguments where they are given. */
export async function startRedis(binary: string, more: string[] = []): Promise<TestRedis> {
  const scratch = await makeScratchFolder("redis");
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
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
    url: `redis://127.0.0.1:${port}`,
    start,
    kill,
    freeze: () => child?.kill("SIGSTOP"),
    thaw: () => child?.kill("SIGCONT"),
    async stop() {
      await kill();
      await scratch.remove();
    },
  };
}
