// Sends a magic link, and says the same whether there is such an account or not.
import { createClient } from "@supabase/supabase-js";
import { json } from "../_shared/http.ts";

Deno.serve(async (request) => {
  const { email } = await request.json();
  const supabase = createClient(
    Deno.env.get("SUPABASE_URL") ?? "",
    Deno.env.get("SUPABASE_ANON_KEY") ?? "",
  );
  await supabase.auth.signInWithOtp({ email, options: { shouldCreateUser: false } });
  return json({ sent: true });
});
