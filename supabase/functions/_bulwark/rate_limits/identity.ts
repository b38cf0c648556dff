import { LRUCache } from "lru-cache";
import { createHash } from "node:crypto";
import { openClient } from "../foundation/clients.ts";
import { tokenOf } from "../foundation/credentials.ts";
import type { Env } from "../foundation/env.ts";
import { unwrap } from "../foundation/errors.ts";

/** The sender of a request: a user with a live session, or an active API key. */
export type Caller =
  | { userId: string }
  | { apiKeyId: string; organizationId: string };

/** Identifies the sender of a request. Without `ask`, only tokens identified before are known. */
export type Identify = (request: Request, ask?: boolean) => Promise<Caller | null>;

/** Milliseconds for which an answer is cached: an ended session is noticed within this time. */
const rememberedMilliseconds = 10_000;
/** Milliseconds for which a caller stays known while the Data API is not available. */
const staleMilliseconds = 600_000;
const maximumRemembered = 1000;
const timeoutMs = 3000;

interface Remembered {
  caller: Caller | null;
  at: number;
}

/**
 * Identifies the sender by asking the Data API with the request's token. A token that is forged,
 * expired or of an ended session identifies nobody: its sender is limited by address and cannot get
 * a fresh bucket by inventing an id. Answers are cached for ten seconds by the token's hash.
 * @throws BulwarkError DATA_API_UNAVAILABLE if the Data API does not answer
 */
export function identifier(env: Env, now: () => number = Date.now): Identify {
  // Separate maps, so that a flood of forged tokens evicts no caller.
  const callers = new LRUCache<string, Remembered>({ max: maximumRemembered });
  const nobodies = new LRUCache<string, Remembered>({ max: maximumRemembered });
  const asking = new Map<string, Promise<Caller | null>>();
  return async (request, ask = true) => {
    const token = tokenOf(request);
    if (!token) return null;
    const hash = createHash("sha256").update(token).digest("base64");
    const known = callers.get(hash) ?? nobodies.get(hash);
    const age = known ? now() - known.at : Infinity;
    if (known && age < rememberedMilliseconds) return known.caller;
    if (!ask && !known?.caller) return null;
    try {
      // Requests that arrive at once with one token share one call.
      const pending = asking.get(hash) ??
        callerOf(env, token).finally(() => asking.delete(hash));
      asking.set(hash, pending);
      const caller = await pending;
      callers.delete(hash);
      (caller ? callers : nobodies).set(hash, { caller, at: now() });
      return caller;
    } catch (thrown) {
      if (known && age < staleMilliseconds) return known.caller;
      throw thrown;
    }
  };
}

/** The caller whom the Data API serves with this token; null: nobody. */
async function callerOf(env: Env, token: string): Promise<Caller | null> {
  const headers = { authorization: `Bearer ${token}` };
  const client = openClient(env.url, env.publishableKey, { headers, timeoutMs });
  const answer = await client.rpc("rate_limit_caller");
  // A bad signature, an expired token, or a role that may not call the function.
  if (answer.status === 401 || answer.status === 403) return null;
  const [row] = unwrap(answer);
  // The generated types do not know that these can be null.
  if (row?.user_id) return { userId: row.user_id };
  if (row?.api_key_id) return { apiKeyId: row.api_key_id, organizationId: row.organization_id };
  return null;
}
