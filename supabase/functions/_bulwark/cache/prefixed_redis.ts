import { Unavailable } from "../foundation/redis/breaker.ts";
import type { RedisClient } from "../foundation/redis/client.ts";
import { runScript, type Script } from "../foundation/redis/script.ts";

/**
 * A Redis client with the cache's key names. Several applications may share one Redis. The prefix is
 * the hash tag of all names: a script needs entries and tags in one slot of a cluster.
 */
export class PrefixedRedis {
  readonly prefix: string;

  constructor(readonly client: RedisClient, prefix: string) {
    this.prefix = /\{[^}]/.test(prefix) ? prefix : `{${prefix}}`;
  }

  call(command: string, ...args: (string | number)[]): Promise<unknown> {
    return this.client.call(command, ...args);
  }

  script(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    return runScript(this.client, script, keys, args);
  }

  entryKey(key: string): string {
    return `${this.prefix}:e:${key}`;
  }

  leaseKey(key: string): string {
    return `${this.prefix}:l:${key}`;
  }

  tagKey(tag: string): string {
    return `${this.prefix}:t:${tag}`;
  }
}

/** An answer that must be a list. Any other answer means that the server is not a Redis. */
export function list<List extends unknown[]>(answer: unknown): List {
  if (!Array.isArray(answer)) throw new Unavailable("the answer is not one of Redis");
  return answer as List;
}
