-- A small demo: two organizations, somebody in every role, and two tables of the host application
-- that Bulwark guards. Runs on an empty database only (npm start, supabase db reset). The accounts'
-- password comes from the setting bulwark.demo_password, which npm start generates; without it
-- nobody can sign in as them, so that a seed that reaches a hosted project by mistake opens no
-- door.
do $$
declare
  v_password text := extensions.crypt(
    coalesce(
      nullif(current_setting('bulwark.demo_password', true), ''),
      encode(extensions.gen_random_bytes(24), 'hex')
    ),
    extensions.gen_salt('bf', 10)
  );
  v_account record;
  v_user uuid;
begin
  if exists (select from auth.users) then
    raise exception 'Cannot seed the demo: the database already has users'
      using errcode = 'object_not_in_prerequisite_state', detail = 'SEED_NOT_EMPTY';
  end if;

  for v_account in
    select * from (values
      ('super@demo.test', 'super_admin', null),
      ('admin@acme.test', 'admin', 'acme'),
      ('analyst@acme.test', 'analyst', 'acme'),
      ('viewer@acme.test', 'viewer', 'acme'),
      ('program@acme.test', 'api_user', 'acme'),
      ('admin@globex.test', 'admin', 'globex'),
      ('viewer@globex.test', 'viewer', 'globex')
    ) as account (email, role, organization)
  loop
    v_user := gen_random_uuid();
    -- Supabase Auth reads these token columns as text and does not accept null in them.
    insert into auth.users (
      id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data,
      raw_user_meta_data, created_at, updated_at, confirmation_token, recovery_token,
      email_change, email_change_token_new
    )
    values (
      v_user, 'authenticated', 'authenticated', v_account.email, v_password, now(),
      '{"provider": "email", "providers": ["email"]}',
      jsonb_build_object('demo', concat_ws(' of ', v_account.role, v_account.organization)),
      now(), now(), '', '', '', ''
    );
    insert into auth.identities (
      id, provider, provider_id, user_id, identity_data, last_sign_in_at, created_at, updated_at
    )
    values (
      gen_random_uuid(), 'email', v_user::text, v_user,
      jsonb_build_object('sub', v_user, 'email', v_account.email, 'email_verified', true),
      now(), now(), now()
    );
    if v_account.organization is null then
      perform bulwark.grant_role(v_user, v_account.role);
    elsif v_account.role = 'admin' then
      perform bulwark.create_organization(
        initcap(v_account.organization), v_account.organization, v_user
      );
    else
      perform bulwark.grant_role(v_user, v_account.role, o.id)
      from bulwark.organizations o
      where o.slug = v_account.organization;
    end if;
  end loop;
  -- Supabase Auth finds accounts of this instance only; Lite's table lacks the column.
  if exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = 'auth.users'::regclass and a.attname = 'instance_id'
  ) then
    execute $sql$ update auth.users set instance_id = '00000000-0000-0000-0000-000000000000' $sql$;
  end if;
end;
$$;

-- How a host application guards a table of its own: an organization, and two policies.
create table public.reports (
  id bigint generated always as identity primary key,
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  title text not null
);
create index reports_organization_id_idx on public.reports (organization_id);
alter table public.reports enable row level security;
grant select, insert on public.reports to authenticated;
create policy "Members read reports where they may" on public.reports
  for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
create policy "Members write reports where they may" on public.reports
  for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));

select bulwark.enable_audit('public.reports', organization_column => 'organization_id');
-- And how it opens one to programs: API keys read and write under the same permissions.
select bulwark.admit_api_keys('public.reports');

insert into public.reports (organization_id, title)
select o.id, quarter || ' quarter of ' || o.name
from bulwark.organizations o
cross join unnest(array['First', 'Second']) as quarter;

-- And how it keeps personal data: the column holds ciphertext alone and is found
-- by its blind index.
create table public.contacts (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  name text not null,
  email text
);
create index contacts_organization_id_idx on public.contacts (organization_id);
alter table public.contacts enable row level security;
grant select, insert, update on public.contacts to authenticated;
create policy "Members read contacts where they may" on public.contacts
  for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
create policy "Members write contacts where they may" on public.contacts
  for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
create policy "Members change contacts where they may" on public.contacts
  for update to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:write'))))
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
create trigger contacts_keep_identity
  before update on public.contacts
  for each row execute function bulwark.keep_columns('id', 'organization_id');

select bulwark.declare_encrypted_column(
  'public.contacts', 'email', organization_column => 'organization_id', blind_index => true,
  fold => true
);
select bulwark.enable_audit(
  'public.contacts', organization_column => 'organization_id', ignore => '{email,email_index}'
);

-- And how it asks for a second factor, verified just now, wherever money moves.
create table public.payouts (
  id bigint generated always as identity primary key,
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  amount_cents bigint not null check (amount_cents > 0)
);
create index payouts_organization_id_idx on public.payouts (organization_id);
alter table public.payouts enable row level security;
-- No policy stops a truncate: bulwark.mfa_uncovered_tables() lists the roles that may.
revoke truncate, references, trigger on public.payouts from anon, authenticated;
grant select, insert on public.payouts to authenticated;
create policy "Members read payouts where they may" on public.payouts
  for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
create policy "Members make payouts where they may" on public.payouts
  for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));

select bulwark.require_mfa('public.payouts', max_age => '10 minutes');
select bulwark.enable_audit('public.payouts', organization_column => 'organization_id');

-- Locally the gateway in front appends the client's address to this header.
update bulwark.settings set value = '"x-forwarded-for"' where name = 'rate_limits.address_header';
