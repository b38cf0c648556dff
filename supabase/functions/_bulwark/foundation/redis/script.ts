import { createHash } from "node:crypto";

/** A Lua script with its hash for EVALSHA. */
export interface Script {
  source: string;
  sha1: string;
}

export function script(source: string): Script {
  return { source, sha1: createHash("sha1").update(source).digest("hex") };
}

/** Runs a script by its hash. Sends its source only if Redis does not know it, as after a restart. */
export async function runScript(
  redis: { call(command: string, ...args: (string | number)[]): Promise<unknown> },
  { source, sha1 }: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.call("EVALSHA", sha1, keys.length, ...keys, ...args);
  } catch (thrown) {
    if (!(thrown instanceof Error) || !thrown.message.includes("NOSCRIPT")) throw thrown;
    return await redis.call("EVAL", source, keys.length, ...keys, ...args);
  }
}
