-- A project that has been in use for three weeks, for pictures. Runs as a superuser on an empty
-- database before anything is sealed: entries of the past are written as they would have been then.
create table pg_temp.people (
  id uuid primary key default gen_random_uuid(), name text, email text, role text, weight integer
);
insert into pg_temp.people (name, email, role, weight) values
  ('Maya Okafor', 'maya@larkspur.test', 'admin', 5),
  ('Jonas Lindqvist', 'jonas@larkspur.test', 'admin', 3),
  ('Priya Raman', 'priya@larkspur.test', 'analyst', 8),
  ('Aiko Tanaka', 'aiko@larkspur.test', 'analyst', 6),
  ('Samuel Osei', 'samuel@larkspur.test', 'viewer', 3),
  ('Elena Petrova', 'elena@larkspur.test', 'viewer', 2),
  ('Tomás Herrera', 'tomas@larkspur.test', 'viewer', 2),
  ('Noah Weber', 'noah@larkspur.test', 'viewer', 1);

insert into auth.users (
  id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data,
  raw_user_meta_data, created_at, updated_at, last_sign_in_at, confirmation_token, recovery_token,
  email_change, email_change_token_new
)
select
  p.id, 'authenticated', 'authenticated', p.email,
  extensions.crypt(current_setting('bulwark.demo_password'), extensions.gen_salt('bf', 10)),
  now(), '{"provider": "email", "providers": ["email"]}', jsonb_build_object('full_name', p.name),
  now() - interval '90 days', now(), now() - random() * interval '6 days', '', '', '', ''
from pg_temp.people p;
insert into auth.identities (
  id, provider, provider_id, user_id, identity_data, last_sign_in_at, created_at, updated_at
)
select
  gen_random_uuid(), 'email', p.id::text, p.id,
  jsonb_build_object('sub', p.id, 'email', p.email, 'email_verified', true), now(), now(), now()
from pg_temp.people p;

create table public.invoices (
  id bigint generated always as identity primary key,
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  customer text not null,
  amount_cents bigint not null,
  status text not null default 'draft'
);
alter table public.invoices enable row level security;
grant select, update on public.invoices to authenticated;
create policy "Members read invoices where they may" on public.invoices
  for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
create policy "Members change invoices where they may" on public.invoices
  for update to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:write'))))
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
select bulwark.enable_audit('public.invoices', organization_column => 'organization_id');

select bulwark.create_organization('Larkspur Health', 'larkspur', p.id)
from pg_temp.people p where p.name = 'Maya Okafor';
select bulwark.create_organization('Fernhill Labs', 'fernhill', p.id)
from pg_temp.people p where p.name = 'Maya Okafor';
select bulwark.grant_role(p.id, p.role, o.id)
from pg_temp.people p cross join bulwark.organizations o
where o.slug = 'larkspur' and p.name <> 'Maya Okafor';

-- Work on some days and hours more than on others, the same in each run.
select setseed(0.42);
alter table bulwark.audit_logs disable trigger user;
-- The past begins here, and not with how this file made it.
delete from bulwark.audit_logs;
with happening as (
  select
    case
      when d = 0 then now() - random() * interval '5 hours'
      else date_trunc('day', now()) - d * interval '1 day' + interval '7 hours'
        + random() * interval '10 hours'
    end as at,
    random() as kind, random() as who, (1000 + random() * 8000)::integer as row_id
  from generate_series(0, 21) as d
  cross join lateral generate_series(
    1, case when extract(isodow from now() - d * interval '1 day') > 5 then 6 else 38 end
  ) as n
), ranked as (
  select p.*, sum(weight) over (order by name) / sum(weight) over ()::float as up_to
  from pg_temp.people p
)
insert into bulwark.audit_logs (
  id, xid, occurred_at, timeline, salt, source, severity, event_type, result, organization_id,
  actor_type, actor_id, database_user, resource_type, resource_id, action, ip, before, after
)
select
  (substring(bulwark_private.audit_id_floor(h.at)::text for 14) || '7'
    || substring(gen_random_uuid()::text from 16))::uuid,
  pg_current_xact_id(), h.at, (select max(t.timeline) from bulwark_private.audit_timelines t),
  gen_random_uuid(), k.source::bulwark.audit_source, k.severity::bulwark.audit_severity, k.event,
  k.result::bulwark.audit_result, o.id, 'user', a.id, 'authenticator', k.resource,
  case when k.resource = 'public.invoices' then h.row_id::text end, k.action,
  '198.51.100.' || (h.who * 200)::integer, k.before, k.after
from happening h
cross join lateral (select r.id from ranked r where r.up_to >= h.who order by r.up_to limit 1) a
cross join lateral (
  select * from (values
    (0.46, 'table', 'info', 'data.update', 'success', 'public.invoices', 'update',
      '{"status": "draft"}'::jsonb, '{"status": "approved"}'::jsonb),
    (0.66, 'table', 'info', 'data.create', 'success', 'public.invoices', 'insert', null,
      '{"customer": "Northgate Clinic", "status": "draft", "amount_cents": 182500}'),
    (0.80, 'auth', 'info', 'auth.login', 'success', null, null, null, null),
    (0.86, 'client', 'info', 'data.export', 'success', 'report', 'invoices.csv', null, null),
    (0.90, 'auth', 'info', 'auth.mfa_verified', 'success', null, null, null, null),
    (0.94, 'auth', 'warning', 'auth.login_failed', 'failure', null, null, null, null),
    (0.97, 'system', 'warning', 'authz.permission_denied', 'failure', 'api_key', 'create', null,
      null),
    (0.99, 'table', 'info', 'data.delete', 'success', 'public.invoices', 'delete',
      '{"customer": "Harbor Dental", "status": "void", "amount_cents": 9900}', null),
    (1.00, 'system', 'error', 'api.error', 'failure', 'webhook', 'deliver', null, null)
  ) as v (up_to, source, severity, event, result, resource, action, before, after)
  where v.up_to >= h.kind order by v.up_to limit 1
) k
cross join bulwark.organizations o
where o.slug = 'larkspur';
do $$
declare
  v_trigger name;
begin
  for v_trigger in
    select t.tgname from pg_trigger t
    where t.tgrelid = 'bulwark.audit_logs'::regclass and not t.tgisinternal
  loop
    execute format('alter table bulwark.audit_logs enable always trigger %I', v_trigger);
  end loop;
end;
$$;

insert into public.invoices (organization_id, customer, amount_cents, status)
select o.id, c.name, 48000 + c.place * 17350, 'draft'
from bulwark.organizations o
cross join unnest(array['Northgate Clinic', 'Harbor Dental', 'Alder Physio', 'St. Brigid Hospice'])
  with ordinality as c (name, place)
where o.slug = 'larkspur';

select bulwark.raise_security_event(
  'brute_force', o.id, p.id, 'noah@larkspur.test', '{"attempts": 14}'
) from bulwark.organizations o, pg_temp.people p
where o.slug = 'larkspur' and p.name = 'Noah Weber';
select bulwark.raise_security_event(
  'key_from_new_network', o.id, p.id, 'nightly import', '{"network": "203.0.113.0/24"}'
) from bulwark.organizations o, pg_temp.people p
where o.slug = 'larkspur' and p.name = 'Priya Raman';
