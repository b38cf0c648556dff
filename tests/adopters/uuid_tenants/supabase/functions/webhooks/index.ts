// The card processor tells us that a card was charged.
import { createClient } from "@supabase/supabase-js";
import { json, same } from "../_shared/http.ts";

Deno.serve(async (request) => {
  const secret = Deno.env.get("CARD_WEBHOOK_SECRET");
  if (!secret || !same(request.headers.get("x-card-secret") ?? "", secret)) {
    return json({ error: "wrong secret" }, 401);
  }
  const { purchase } = await request.json();
  const admin = createClient(
    Deno.env.get("SUPABASE_URL") ?? "",
    Deno.env.get("SUPABASE_SERVICE_ROLE_KEY") ?? "",
  );
  const { error } = await admin.from("purchases").update({ status: "approved" }).eq("id", purchase);
  return error ? json({ error: error.message }, 500) : json({ received: true });
});
