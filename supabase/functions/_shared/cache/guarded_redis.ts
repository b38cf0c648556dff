import { Breaker } from "./breaker.ts";
import { isReply, type RedisCommands } from "./redis.ts";
import type { Script } from "./scripts.ts";

/** How the level in Redis behaves. */
export interface SharedOptions {
  /** Before every name in Redis, so that several applications share one. */
  prefix: string;
  /** How long a call to Redis may take, in milliseconds. */
  timeout: number;
  /** How long a load may take before another process loads too, in milliseconds. */
  leaseTime: number;
}

/**
 * A Redis that nobody waits for long, and what the cache's things are called in it. Every call rejects
 * with `Unavailable` when Redis is away or slow, and with nothing else.
 */
export class GuardedRedis {
  readonly #redis: RedisCommands;
  readonly #breaker: Breaker;
  readonly #prefix: string;

  constructor(redis: RedisCommands, { prefix, timeout }: SharedOptions) {
    this.#redis = redis;
    this.#prefix = prefix;
    this.#breaker = new Breaker({ timeout, isAnswer: isReply });
  }

  get isAway(): boolean {
    return this.#breaker.isOpen;
  }

  close(): void {
    this.#redis.close();
  }

  call(command: string, ...args: (string | number)[]): Promise<unknown> {
    return this.#breaker.call(() => this.#redis.call(command, ...args));
  }

  async script(
    { source, sha1 }: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    return await this.#breaker.call(async () => {
      try {
        return await this.#redis.call("EVALSHA", sha1, keys.length, ...keys, ...args);
      } catch (thrown) {
        // A Redis that was started anew does not know it.
        if (!(thrown instanceof Error) || !thrown.message.includes("NOSCRIPT")) throw thrown;
        return await this.#redis.call("EVAL", source, keys.length, ...keys, ...args);
      }
    });
  }

  entryKey(key: string): string {
    return `${this.#prefix}:e:${key}`;
  }

  leaseKey(key: string): string {
    return `${this.#prefix}:l:${key}`;
  }

  tagKey(tag: string): string {
    return `${this.#prefix}:t:${tag}`;
  }
}
