import type { Check } from "../context.ts";
import type { Found } from "../finding.ts";

/**
 * Tables of the project that hold an organization's rows: they have a column organization_id, or
 * one that refers to Bulwark's organizations. Only those that clients reach are judged.
 */
export const tenantTables: Check = async ({ sql, has }) => {
  if (!has("bulwark.organizations")) return [];
  const rows = await sql<{ relation: string; rls: boolean; open: boolean; audited: boolean }[]>`
    select c.oid::regclass::text as relation, c.relrowsecurity as rls, exists (
        select from unnest('{anon, authenticated, api_key}'::text[]) as client
        where to_regrole(client) is not null
          and has_schema_privilege(client, c.relnamespace, 'usage')
          and (
            has_any_column_privilege(client, c.oid, 'select, insert, update')
            or has_table_privilege(client, c.oid, 'delete, truncate')
          )
      ) as open,
      ${
    has("bulwark_private.audit_watched_tables")
      ? sql`c.relispartition or exists (
          select from bulwark_private.audit_watched_tables w where w.relation = c.oid and w.captures
        )`
      : sql`true`
  } as audited
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.relpersistence <> 't'
      and n.nspname !~ '^(pg_|bulwark|supabase_|_|graphql)'
      and n.nspname <> all ('{information_schema, auth, storage, realtime, vault, cron, net,
        extensions, pgsodium, pgsodium_masks, pgmq, pgtle}')
      and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
      and (
        exists (
          select from pg_attribute a
          where a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped
        )
        or exists (
          select from pg_constraint k
          where k.conrelid = c.oid and k.contype = 'f'
            and k.confrelid = to_regclass('bulwark.organizations')
        )
      )
    order by 1
  `;
  return rows.flatMap(({ relation, rls, open, audited }) => {
    const found: Found[] = [];
    if (!rls && open) {
      found.push({
        code: "TABLE_WITHOUT_RLS",
        object: relation,
        message: `Clients have privileges on ${relation}, and it has no row-level security`,
      });
    }
    if (!audited) {
      found.push({
        code: "TABLE_NOT_AUDITED",
        object: relation,
        message: `Changes of ${relation} are not recorded in the audit log`,
      });
    }
    return found;
  });
};

/** Tables that require a second factor, or admit API keys: nothing goes around what they ask. */
export const guardedTables: Check = async ({ sql, has }) => {
  const mfa = has("bulwark.mfa_uncovered_tables")
    ? await sql<{ relation: string; role: string | null; problem: string }[]>`
        select relation, role::text, problem from bulwark.mfa_uncovered_tables()
      `
    : [];
  const keys = has("bulwark.api_key_table_problems")
    ? await sql<{ relation: string; problem: string }[]>`
        select relation::text, problem from bulwark.api_key_table_problems()
      `
    : [];
  return [
    ...mfa.map(({ relation, role, problem }): Found => ({
      code: "MFA_TABLE_UNCOVERED",
      object: relation,
      message: `${relation} requires a second factor, but ${role ?? "anybody"}: ${problem}`,
    })),
    ...keys.map(({ relation, problem }): Found => ({
      code: "API_KEY_TABLE_PROBLEM",
      object: relation,
      message: `${relation} and API keys: ${problem}`,
    })),
  ];
};
