import { Breaker, Late, type Verdict } from "./breaker.ts";
import { causeOf, textOf } from "./cause.ts";
import { overHttp } from "./http.ts";
import { addressesOf, overTcp } from "./tcp.ts";
import { withTimeout } from "../timeout.ts";

/** A transport of Redis commands without a timeout. */
export interface RedisCommands {
  /** False: the next command connects first. */
  readonly isConnected: boolean;
  /** Whether keys of a command must be in one slot; true as long as it is not known. */
  readonly isCluster?: boolean;
  /** Rejects with the error of the connection or of Redis. */
  call(command: string, ...args: (string | number)[]): Promise<unknown>;
  /** Closes the connection; the next command opens another. */
  drop(): void;
}

/** The address of the Redis: TCP, or Upstash's HTTP API. */
export interface RedisEnv {
  redisUrl: string | null;
  upstashUrl: string | null;
  upstashToken: string | null;
}

export interface RedisOptions {
  /** Timeout of a command; five times as long if it has to connect. */
  timeoutMs?: number;
  /** Receives one line about the cause of an outage, and one about its end. */
  log?: (line: string) => void;
  /** Removed from log lines. */
  secrets?: readonly string[];
}

/** Milliseconds between two log lines about refused commands with the same advice. */
const quietMilliseconds = 10 * 60_000;

const defaultTimeoutMs = 100;

/** Timeout of connecting and of a probe. No caller waits that long. */
const connectTimeoutMs = 2000;

/**
 * A Redis client with a timeout for each command and a circuit breaker. Calls reject with
 * `Unavailable` and nothing else.
 */
export class RedisClient {
  readonly #commands: RedisCommands;
  readonly #breaker: Breaker;
  readonly #timeoutMs: number;
  readonly #log: (line: string) => void;
  readonly #secrets: readonly string[];
  /** Advice that was logged in this outage. */
  readonly #outage = new Set<string>();
  readonly #quietUntil = new Map<string, number>();

  constructor(commands: RedisCommands, options: RedisOptions = {}) {
    this.#commands = commands;
    this.#timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    this.#log = options.log ?? console.error;
    this.#secrets = options.secrets ?? [];
    this.#breaker = new Breaker({
      timeoutMs: this.#timeoutMs,
      probe: () => this.#probe(),
      judge: (thrown) => this.#judge(thrown),
      onFailure: (cause) => this.#failed(cause),
      onRecovery: () => {
        this.#outage.clear();
        this.#log("Redis is in use again");
      },
    });
  }

  /** Whether the breaker is open: commands fail without being sent. */
  get isAway(): boolean {
    return this.#breaker.isOpen;
  }

  /** Whether it is, or may be, a cluster: keys of a command must be in one slot. */
  get isCluster(): boolean {
    return this.#commands.isCluster ?? false;
  }

  call(command: string, ...args: (string | number)[]): Promise<unknown> {
    const task = () => this.#commands.call(command, ...args);
    if (this.#commands.isConnected) return this.#breaker.call(task);
    return this.#breaker.call(task, { timeoutMs: 5 * this.#timeoutMs, doubts: 1 });
  }

  close(): void {
    this.#commands.drop();
  }

  /** Uses the present connection, which may only have been slow; if it fails, drops it. */
  async #probe(): Promise<void> {
    try {
      await withTimeout(this.#commands.call("PING"), { timeoutMs: connectTimeoutMs });
    } catch (thrown) {
      this.#commands.drop();
      throw thrown;
    }
  }

  #judge(thrown: unknown): Verdict {
    const { verdict, advice } = causeOf(thrown);
    if (verdict === "answer" && advice !== null) {
      const now = performance.now();
      if ((this.#quietUntil.get(advice) ?? 0) > now) return verdict;
      this.#quietUntil.set(advice, now + quietMilliseconds);
      this.#log(`Redis refuses a command: ${textOf(thrown, this.#secrets)}. ${advice}`);
    }
    return verdict;
  }

  #failed(thrown: unknown): void {
    const { advice } = causeOf(thrown);
    // After a timeout the answers may still arrive; after any other error the connection is useless.
    if (!(thrown instanceof Late)) this.#commands.drop();
    if (advice === null || this.#outage.has(advice)) return;
    this.#outage.add(advice);
    this.#log(`Redis is not in use: ${textOf(thrown, this.#secrets)}. ${advice}`);
  }
}

/**
 * A client of the configured Redis, or null if none is configured. It connects at the first command.
 * @throws Error if the address is malformed; the message does not quote it
 */
export function openRedis(env: RedisEnv, options: RedisOptions = {}): RedisClient | null {
  const { redisUrl, upstashUrl, upstashToken } = env;
  if (redisUrl) {
    const commands = overTcp(redisUrl, connectTimeoutMs);
    return new RedisClient(commands, {
      secrets: addressesOf(redisUrl).flatMap(({ password }) => forms(password)),
      ...options,
    });
  }
  if (upstashUrl && upstashToken) {
    const commands = overHttp(upstashUrl, upstashToken, connectTimeoutMs);
    return new RedisClient(commands, { secrets: forms(upstashToken), ...options });
  }
  return null;
}

const shared = new Map<string, RedisClient | null>();

/** The isolate's shared client of a Redis: all users share its breaker. */
export function sharedRedis(
  env: RedisEnv,
  timeoutMs: number = defaultTimeoutMs,
): RedisClient | null {
  const { redisUrl, upstashUrl, upstashToken } = env;
  const name = JSON.stringify(
    redisUrl ? [redisUrl, timeoutMs] : [upstashUrl, upstashToken, timeoutMs],
  );
  if (!shared.has(name)) shared.set(name, openRedis(env, { timeoutMs }));
  return shared.get(name) ?? null;
}

/** A secret, and its decoded form if it is part of a URL. */
function forms(secret: string): string[] {
  if (secret === "") return [];
  try {
    return [secret, decodeURIComponent(secret)];
  } catch {
    return [secret];
  }
}
