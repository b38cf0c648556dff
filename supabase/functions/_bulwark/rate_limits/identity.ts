import { createHash } from "node:crypto";
import { openClient } from "../foundation/clients.ts";
import { tokenOf } from "../foundation/credentials.ts";
import type { Env } from "../foundation/env.ts";
import { unwrap } from "../foundation/errors.ts";

/** Who sent a request: a user in a session that lives, or an API key that is in force. */
export type Caller =
  | { userId: string }
  | { apiKeyId: string; organizationId: string };

/** Finds out who sent a request; unless `ask`, only of tokens that were somebody's before. */
export type Identify = (request: Request, ask?: boolean) => Promise<Caller | null>;

/** A session that has ended is noticed within this time. */
const rememberedMilliseconds = 10_000;
/** While the Data API is away, a caller stays known for so long. */
const staleMilliseconds = 600_000;
const maximumRemembered = 1000;
const patience = 3000;

interface Remembered {
  caller: Caller | null;
  at: number;
}

/**
 * Finds who is behind the token that a request carries, by asking the Data API with that token: whom
 * it serves is whom it names. A token that is forged, expired or of a session that has ended is
 * nobody's: whoever sends such is limited by address, and cannot choose a fresh bucket by making up
 * an id. Who was found is remembered for ten seconds, by the token's hash.
 * @throws BulwarkError DATA_API_UNAVAILABLE where nobody says who it is
 */
export function identifier(env: Env, now: () => number = Date.now): Identify {
  // Apart, so that a flood of forged ones makes nobody forgotten.
  const callers = new Map<string, Remembered>();
  const nobodies = new Map<string, Remembered>();
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
      // A burst with one token is one question.
      const question = asking.get(hash) ??
        callerOf(env, token).finally(() => asking.delete(hash));
      asking.set(hash, question);
      const caller = await question;
      callers.delete(hash);
      remember(caller ? callers : nobodies, hash, { caller, at: now() });
      return caller;
    } catch (thrown) {
      if (known && age < staleMilliseconds) return known.caller;
      throw thrown;
    }
  };
}

/** The caller that the Data API serves for this token; null: nobody. */
async function callerOf(env: Env, token: string): Promise<Caller | null> {
  const headers = { authorization: `Bearer ${token}` };
  const client = openClient(env.url, env.publishableKey, { headers, patience });
  const answer = await client.rpc("rate_limit_caller");
  // Not signed by the project, expired, or of a role that nobody of ours has.
  if (answer.status === 401 || answer.status === 403) return null;
  const [row] = unwrap(answer);
  // Nulls, which the generated types do not know of.
  if (row?.user_id) return { userId: row.user_id };
  if (row?.api_key_id) return { apiKeyId: row.api_key_id, organizationId: row.organization_id };
  return null;
}

function remember(remembered: Map<string, Remembered>, hash: string, value: Remembered): void {
  if (remembered.size >= maximumRemembered) remembered.clear();
  remembered.set(hash, value);
}
