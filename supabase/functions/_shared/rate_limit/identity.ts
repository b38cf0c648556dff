import { createHash } from "node:crypto";
import { createClient } from "@supabase/supabase-js";
import { tokenOf } from "../credentials.ts";
import type { Env } from "../env.ts";

/** Finds out who sent a request; unless `ask`, only of whom that is known already. */
export type Identify = (request: Request, ask?: boolean) => Promise<string | null>;

const rememberedMilliseconds = 60_000;
const maximumRemembered = 1000;

/**
 * Finds the user whose token a request carries, by the token's signature (asked of Auth where the
 * project signs with a shared secret). A token that is forged or expired is nobody's: whoever sends
 * such is limited by address, and cannot choose a fresh bucket by making up an id. Who was verified
 * is remembered for a minute, by the token's hash.
 */
export function identifier(env: Env): Identify {
  const client = createClient(env.url, env.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
  // Apart, so that a flood of forged ones makes nobody forgotten.
  const users = new Map<string, { user: string; until: number }>();
  const forged = new Map<string, { user: null; until: number }>();
  return async (request, ask = true) => {
    const token = tokenOf(request);
    if (!token) return null;
    const hash = createHash("sha256").update(token).digest("base64");
    const known = users.get(hash) ?? forged.get(hash);
    if (known && known.until > Date.now()) return known.user;
    if (!ask) return null;
    const { data } = await client.auth.getClaims(token);
    const claims = data?.claims;
    const user = typeof claims?.sub === "string" && claims.role === "authenticated"
      ? claims.sub
      : null;
    const until = Date.now() + rememberedMilliseconds;
    users.delete(hash);
    if (user === null) remember(forged, hash, { user, until });
    else remember(users, hash, { user, until: Math.min(until, (claims?.exp ?? 0) * 1000) });
    return user;
  };
}

function remember<Value>(remembered: Map<string, Value>, hash: string, value: Value): void {
  if (remembered.size >= maximumRemembered) remembered.clear();
  remembered.set(hash, value);
}
