import { createClient } from "@supabase/supabase-js";
import type { CallerClient } from "./caller.ts";
import type { Database } from "./database.types.ts";
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
