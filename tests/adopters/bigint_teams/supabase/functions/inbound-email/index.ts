import { createClient } from "@supabase/supabase-js";
import { corsHeaders } from "../_shared/cors.ts";

Deno.serve(async (req) => {
  if (req.method === "OPTIONS") return new Response("ok", { headers: corsHeaders });
  const { teamId, subject, from } = await req.json();
  const supabase = createClient(
    Deno.env.get("SUPABASE_URL")!,
    Deno.env.get("SUPABASE_SERVICE_ROLE_KEY")!,
  );
  const { data, error } = await supabase
    .from("tickets")
    .insert({ teamId, subject, customerEmail: from })
    .select("id")
    .single();
  return Response.json(error ?? data, { status: error ? 400 : 201, headers: corsHeaders });
});
