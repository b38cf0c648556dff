/** The one thing that the cache asks of a Redis: to do a command. */
export interface RedisCommands {
  /** Rejects when there is no connection, and with what Redis says is wrong. */
  call(command: string, ...args: (string | number)[]): Promise<unknown>;
  close(): void;
}

/** Where the Redis is: by TCP, or by Upstash's HTTP. */
export interface RedisEnv {
  redisUrl: string | null;
  upstashUrl: string | null;
  upstashToken: string | null;
}

/** How ioredis is used: what it cannot do now it says so now, and never does later. */
export const clientOptions = {
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  // A command of before a lost connection must not overtake what came since.
  autoResendUnfulfilledCommands: false,
  connectTimeout: 2000,
  retryStrategy: (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 6), 2000),
  // A replica that was promoted and then demoted answers READONLY: find the new primary.
  reconnectOnError: (error: Error) => error.message.startsWith("READONLY"),
};

/** Whether Redis is there and refuses: out of memory, another type, no such script. */
export function isReply(thrown: unknown): boolean {
  return thrown instanceof Error &&
    (thrown.name === "ReplyError" || thrown.name === "UpstashError");
}

/**
 * The Redis of the environment, or null where none is set. The client is loaded only then: it costs
 * an isolate some 100 ms to start with. Nothing is queued while there is no connection: a cache
 * that is away is a miss and not a wait.
 */
export async function openRedis(env: RedisEnv): Promise<RedisCommands | null> {
  if (env.redisUrl) return await overTcp(env.redisUrl);
  if (env.upstashUrl && env.upstashToken) return await overHttp(env.upstashUrl, env.upstashToken);
  return null;
}

async function overTcp(url: string): Promise<RedisCommands> {
  const { Redis } = await import("ioredis");
  const client = new Redis(url, clientOptions);
  // What fails is seen by whoever called; without a listener it would end the process.
  client.on("error", () => {});
  let first: Promise<unknown> | null = new Promise((resolve) => {
    client.once("ready", resolve);
    client.once("close", resolve);
  }).finally(() => first = null);
  return {
    call(command, ...args) {
      // The connection is being made for the first time: whoever calls bounds the wait.
      return first
        ? first.then(() => client.call(command, ...args))
        : client.call(command, ...args);
    },
    close: () => client.disconnect(),
  };
}

async function overHttp(url: string, token: string): Promise<RedisCommands> {
  const { Redis } = await import("@upstash/redis");
  const client = new Redis({
    url,
    token,
    retry: false,
    automaticDeserialization: false,
    enableTelemetry: false,
  });
  return {
    call: (command, ...args) => client.exec([command, ...args.map(String)]),
    close() {},
  };
}
