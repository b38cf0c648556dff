import { createClient } from "@supabase/supabase-js";

/** A client that acts as whoever sent the request. */
export function clientOf(request: Request) {
  return createClient(Deno.env.get("SUPABASE_URL") ?? "", Deno.env.get("SUPABASE_ANON_KEY") ?? "", {
    global: { headers: { Authorization: request.headers.get("authorization") ?? "" } },
  });
}
