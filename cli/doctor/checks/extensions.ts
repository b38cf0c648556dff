import type { Check } from "../context.ts";

const reasons = {
  pg_cron: "pg_cron is not installed: the database runs no scheduled jobs",
  pg_net: "pg_net is not installed: jobs cannot call functions",
  supabase_vault: "Vault is not installed: jobs cannot read the secret to call functions with",
  pgcrypto: "pgcrypto is not in the schema extensions: tokens cannot be made",
};

/** The extensions that jobs and tokens need. */
export const extensions: Check = async ({ sql, has }) => {
  if (!has("bulwark_private.jobs")) return [];
  const [row] = await sql`
    select
      exists (select from pg_extension where extname = 'pg_cron') as pg_cron,
      not calls.some or exists (
        select from pg_proc p where p.pronamespace = to_regnamespace('net')
          and p.proname = 'http_post'
      ) as pg_net,
      not calls.some or to_regclass('vault.decrypted_secrets') is not null as supabase_vault,
      to_regprocedure('extensions.gen_random_bytes(integer)') is not null as pgcrypto
    from (
      select exists (select from bulwark_private.jobs where function_path is not null) as some
    ) calls
  `;
  return (Object.keys(reasons) as (keyof typeof reasons)[])
    .filter((name) => !row?.[name])
    .map((name) => ({ code: "EXTENSION_MISSING", object: name, message: reasons[name] }));
};
