import type { Contents } from "./contents.ts";

/** The steps that are left to the user after files were written. */
export function nextSteps({ capabilities, functionNames }: Contents): string[] {
  const has = (name: string) => capabilities.includes(name);
  return [
    "Next:",
    "  supabase db push --remote",
    `  supabase functions deploy ${functionNames.join(" ")}`,
    "  supabase secrets set --env-file <file>   (your own values: supabase/functions/.env is for local use)",
    "On a hosted project expose the schema bulwark under Data API, never bulwark_private.",
    ...has("rate_limits") || has("api_keys")
      ? ["In front of the Data API, in the SQL editor: select bulwark.install_request_hook();"]
      : [],
    ...has("api_keys")
      ? ["API keys are exchanged once BULWARK_JWT_SIGNING_KEY is set: supabase gen signing-key"]
      : [],
    "The first administrator: select bulwark.grant_role('<user id>', 'super_admin');",
    "Then check everything: npx bulwark doctor --db <url>",
  ];
}
