import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "./database.types.ts";
import type { Env } from "./env.ts";
import { BulwarkError } from "./errors.ts";
import { correlationIdOf } from "./http.ts";

/** A supabase-js client that acts as somebody, under row-level security. */
export type CallerClient = SupabaseClient<Database>;

/**
 * A client that acts as whoever sent the request. The Data API verifies the token on each call:
 * a forged, expired or missing one gets nothing from it.
 * @throws BulwarkError 401 UNAUTHORIZED where the request carries no bearer token
 */
export function callerClient(request: Request, env: Env): CallerClient {
  const authorization = request.headers.get("authorization");
  if (!authorization || !/^Bearer [\w.~+/-]+=*$/i.test(authorization)) {
    throw new BulwarkError(401, "UNAUTHORIZED", "Cannot identify the caller: sign in first");
  }
  return createClient<Database>(env.url, env.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: {
      headers: { authorization, "x-correlation-id": correlationIdOf(request) },
    },
  });
}
