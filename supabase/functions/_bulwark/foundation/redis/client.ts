import { Breaker, Late, type Verdict } from "./breaker.ts";
import { causeOf, textOf } from "./cause.ts";
import { overHttp } from "./http.ts";
import { overTcp } from "./tcp.ts";
import { within } from "../within.ts";

/** A way to give commands to a Redis, with no bound on how long they take. */
export interface RedisCommands {
  /** Whether a command is sent at once; false: a connection is made first. */
  readonly isConnected: boolean;
  /** Rejects when there is no connection, and with what Redis says is wrong. */
  call(command: string, ...args: (string | number)[]): Promise<unknown>;
  /** Ends a connection that is of no use; the next command makes another. */
  drop(): void;
}

/** Where the Redis is: by TCP, or by Upstash's HTTP. */
export interface RedisEnv {
  redisUrl: string | null;
  upstashUrl: string | null;
  upstashToken: string | null;
}

export interface RedisOptions {
  /** How long a command may take, in milliseconds; five times as long where it has to connect. */
  timeout?: number;
  /** Is told the cause of an outage once, and its end. */
  log?: (line: string) => void;
  /** What must not be in the log. */
  secrets?: readonly string[];
}

/** For how long a refusal with the same advice is not logged again, in milliseconds. */
const quietMilliseconds = 10 * 60_000;

const defaultTimeout = 100;

/** How long making a connection and a probe may take, in milliseconds. No caller waits for them. */
const connectTime = 2000;

/**
 * A Redis that no caller waits for long: each command is bounded, and a breaker keeps commands from a
 * server that is away. All calls reject with `Unavailable` and nothing else.
 */
export class RedisClient {
  readonly #commands: RedisCommands;
  readonly #breaker: Breaker;
  readonly #timeout: number;
  readonly #log: (line: string) => void;
  readonly #secrets: readonly string[];
  /** What was advised in this outage. */
  readonly #outage = new Set<string>();
  readonly #quietUntil = new Map<string, number>();

  constructor(commands: RedisCommands, options: RedisOptions = {}) {
    this.#commands = commands;
    this.#timeout = options.timeout ?? defaultTimeout;
    this.#log = options.log ?? console.error;
    this.#secrets = options.secrets ?? [];
    this.#breaker = new Breaker({
      timeout: this.#timeout,
      probe: () => this.#probe(),
      judge: (thrown) => this.#judge(thrown),
      onFailure: (cause) => this.#failed(cause),
      onRecovery: () => {
        this.#outage.clear();
        this.#log("Redis is in use again");
      },
    });
  }

  /** Whether commands are refused without being sent. */
  get isAway(): boolean {
    return this.#breaker.isOpen;
  }

  call(command: string, ...args: (string | number)[]): Promise<unknown> {
    const task = () => this.#commands.call(command, ...args);
    if (this.#commands.isConnected) return this.#breaker.call(task);
    return this.#breaker.call(task, { timeout: 5 * this.#timeout, doubts: 1 });
  }

  close(): void {
    this.#commands.drop();
  }

  /** On the connection there is, which may only have been slow; else the next probe makes another. */
  async #probe(): Promise<void> {
    try {
      await within(connectTime, this.#commands.call("PING"));
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
    // A slow server may still send the answers that are due; any other connection is of no use.
    if (!(thrown instanceof Late)) this.#commands.drop();
    if (advice === null || this.#outage.has(advice)) return;
    this.#outage.add(advice);
    this.#log(`Redis is not in use: ${textOf(thrown, this.#secrets)}. ${advice}`);
  }
}

/**
 * A client of the Redis of the environment, or null where none is set. Nothing is sent before the
 * first command.
 * @throws Error where the address has no valid form; the message does not quote it
 */
export function openRedis(env: RedisEnv, options: RedisOptions = {}): RedisClient | null {
  const { redisUrl, upstashUrl, upstashToken } = env;
  if (redisUrl) {
    const commands = overTcp(redisUrl, connectTime);
    return new RedisClient(commands, { secrets: forms(new URL(redisUrl).password), ...options });
  }
  if (upstashUrl && upstashToken) {
    const commands = overHttp(upstashUrl, upstashToken, connectTime);
    return new RedisClient(commands, { secrets: forms(upstashToken), ...options });
  }
  return null;
}

const shared = new Map<string, RedisClient | null>();

/** The isolate's one client of that Redis: what one user learns of an outage spares the others. */
export function sharedRedis(env: RedisEnv, timeout: number = defaultTimeout): RedisClient | null {
  const { redisUrl, upstashUrl, upstashToken } = env;
  const name = JSON.stringify(redisUrl ? [redisUrl, timeout] : [upstashUrl, upstashToken, timeout]);
  if (!shared.has(name)) shared.set(name, openRedis(env, { timeout }));
  return shared.get(name) ?? null;
}

/** A secret as it is, and as it is written in an address. */
function forms(secret: string): string[] {
  if (secret === "") return [];
  try {
    return [secret, decodeURIComponent(secret)];
  } catch {
    return [secret];
  }
}
