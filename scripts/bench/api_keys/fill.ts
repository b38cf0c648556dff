import type { Sql } from "../../stack/connection.ts";

/** Owner of every key of the benchmark. */
export const owner = "00000000-0000-4000-9000-000000000001";
/** Scopes of every key of the benchmark. */
export const scopes = "{analytics:read,analytics:write}";

/** An issued key. */
export interface IssuedKey {
  id: string;
  api_key: string;
}

/** A key in force and its organization. */
export interface KeyInUse extends IssuedKey {
  organization: string;
}

/** Creates this many keys and rows, and issues one key that is in force. */
export async function fill(sql: Sql, keys: number, rows: number): Promise<KeyInUse> {
  await sql`update bulwark.rate_limit_rules set capacity = 1000000, window_seconds = 1`;
  await sql`update bulwark.settings set value = '2000000' where name = 'api_keys.limit_per_owner'`;
  await sql`insert into auth.users (id, email) values (${owner}, 'user@bench.test')`;
  await sql`insert into auth.sessions (id, user_id, aal) values (${owner}, ${owner}, 'aal1')`;
  await sql`
    select count(bulwark.create_organization('Org ' || n, 'org-' || n, ${owner}))
    from generate_series(1, 10) as n
  `;
  const [{ organization }] = await sql<[{ organization: string }]>`
    select id as organization from bulwark.organizations where slug = 'org-1'
  `;
  await sql.begin(async (transaction) => {
    // In bulk, without the triggers that record each row; the result is the same.
    await transaction`set local session_replication_role = replica`;
    for (const table of ["bulwark.api_keys", "bulwark_private.api_key_hashes"]) {
      await transaction.unsafe(`alter table ${table} disable trigger user`);
    }
    await transaction`
      insert into bulwark.api_keys (id, organization_id, owner_id, name, environment,
        first_characters, scopes, rate_limit_rule, issued_with_mfa, expires_at)
      select md5('key ' || n)::uuid, ${organization}, ${owner}, 'key', 'live', 'bwk_live_xxxx',
        ${scopes}, 'api_default', false, now() + interval '90 days'
      from generate_series(1, ${keys}::integer) as n
    `;
    await transaction`
      insert into bulwark_private.api_key_hashes (api_key_id, key_hash)
      select md5('key ' || n)::uuid, sha256(convert_to('secret ' || n, 'UTF8'))
      from generate_series(1, ${keys}::integer) as n
    `;
    for (const table of ["bulwark.api_keys", "bulwark_private.api_key_hashes"]) {
      await transaction.unsafe(`alter table ${table} enable trigger user`);
    }
  });
  await sql.unsafe(`
    create table public.reports (
      id bigint generated always as identity primary key,
      organization_id uuid not null,
      title text not null
    );
    insert into public.reports (organization_id, title)
      select case when n % 1000 = 0 then '${organization}'::uuid else md5((n % 1000)::text)::uuid end,
        repeat('x', 100) from generate_series(1, ${rows}) as n;
    create index on public.reports (organization_id);
    alter table public.reports enable row level security;
    grant select, insert on public.reports to authenticated;
    create policy "Members read" on public.reports for select to authenticated
      using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
    create policy "Members write" on public.reports for insert to authenticated
      with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
    select bulwark.admit_api_keys('public.reports');
  `);
  await sql`vacuum analyze`;
  return { organization, ...await issueKey(sql, organization) };
}

/** Issues a key, by default to the owner of all others. */
export async function issueKey(
  sql: Sql,
  organization: string,
  networks: string | null = null,
  to = owner,
): Promise<IssuedKey> {
  await sql`
    insert into auth.sessions (id, user_id, aal) values (${to}, ${to}, 'aal1')
    on conflict do nothing
  `;
  return await sql.begin(async (transaction) => {
    const claims = JSON.stringify({ sub: to, session_id: to, role: "authenticated" });
    await transaction`
      select set_config('request.jwt.claims', ${claims}, true),
        set_config('role', 'authenticated', true)
    `;
    const [issued] = await transaction`
      select id, api_key
      from bulwark.create_api_key(${organization}, 'bench', ${scopes}, networks => ${networks})
    `;
    return { id: issued?.id, api_key: issued?.api_key };
  }) as IssuedKey;
}
