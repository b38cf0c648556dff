import type { Check, Context } from "../context.ts";
import type { Found } from "../finding.ts";

/** Vault's secrets for scheduled calls: whether they are there, not what they are. */
export const vaultSecrets: Check = async ({ sql, has }) => {
  if (!has("bulwark_private.jobs")) return [];
  const [row] = await sql`
    select to_regclass('vault.secrets') is not null
      and exists (select from bulwark_private.jobs where function_path is not null) as needed
  `;
  if (!row?.["needed"]) return [];
  const missing = await sql<{ name: string }[]>`
    select n.name from unnest('{bulwark_project_url, bulwark_scheduler_secret}'::text[]) as n (name)
    where not exists (select from vault.secrets s where s.name = n.name)
  `;
  return missing.map(({ name }) => ({
    code: "VAULT_SECRET_MISSING",
    object: name,
    message: `Vault has no secret named ${name}`,
  }));
};

/** The secrets of functions, by an object of the capability that needs them. */
const functionSecrets: { name: string; neededBy: string; shortest: number }[] = [
  { name: "BULWARK_SCHEDULER_SECRET", neededBy: "bulwark_private.request_function", shortest: 32 },
  { name: "BULWARK_AUDIT_SIGNING_KEYS", neededBy: "bulwark.audit_checkpoints", shortest: 43 },
  { name: "BULWARK_ENCRYPTION_KEYS", neededBy: "bulwark_private.data_keys", shortest: 24 },
  { name: "BULWARK_MFA_PEPPER", neededBy: "bulwark.store_backup_codes", shortest: 32 },
  { name: "BULWARK_METRICS_TOKEN", neededBy: "bulwark.scrape_metrics", shortest: 32 },
];

/** The environment of functions: on this machine from its file, elsewhere not to be seen. */
export const functionSecretsOf: Check = (context) =>
  Promise.resolve([
    {
      code: "FUNCTION_SECRETS_UNKNOWN",
      object: null,
      message: "The secrets of deployed functions cannot be seen from the database",
    },
    ...localSecrets(context),
  ]);

function localSecrets({ has, project }: Context): Found[] {
  const env = project?.functionEnv;
  if (!env) return [];
  return functionSecrets.filter(({ neededBy }) => has(neededBy)).flatMap(
    ({ name, shortest }): Found[] => {
      const value = env.get(name) ?? "";
      if (value === "") {
        return [{
          code: "FUNCTION_SECRET_MISSING",
          object: name,
          message: `supabase/functions/.env has no value for ${name}`,
        }];
      }
      if (value.length >= shortest && new Set(value).size > 5) return [];
      return [{
        code: "FUNCTION_SECRET_WEAK",
        object: name,
        message: `The value of ${name} in supabase/functions/.env is too short or too simple`,
      }];
    },
  );
}
