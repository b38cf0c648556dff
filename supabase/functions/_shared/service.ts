import { createHash, timingSafeEqual } from "node:crypto";
import { createClient } from "@supabase/supabase-js";
import { type CallerClient, callerClient } from "./caller.ts";
import type { Database } from "./database.types.ts";
import type { Env } from "./env.ts";
import { correlationIdOf } from "./http.ts";
import { measuredFetch } from "./metrics.ts";

/** A client with the secret key, for what a function does by itself and for nobody in particular. */
export function serviceClient(
  { url, secretKey }: { url: string; secretKey: string },
  correlationId: string,
): CallerClient {
  return createClient<Database>(url, secretKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers: { "x-correlation-id": correlationId }, fetch: measuredFetch },
  });
}

/**
 * A client that acts as whoever sent the request: a person by their token, or the service role by
 * the secret key, which is no token and so is compared here, in constant time.
 * @throws BulwarkError 401 UNAUTHORIZED where the request carries neither
 */
export function callerOrService(request: Request, env: Env & { secretKey: string }): CallerClient {
  const given = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const digest = (text: string) => createHash("sha256").update(text).digest();
  if (env.secretKey !== "" && timingSafeEqual(digest(given), digest(env.secretKey))) {
    return serviceClient(env, correlationIdOf(request));
  }
  return callerClient(request, env);
}
