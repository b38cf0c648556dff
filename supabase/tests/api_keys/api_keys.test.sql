-- API keys: permissions of a key, decided from the tables at each query, and their end.
begin;
set local search_path = bulwark, public, extensions;
select plan(61);
select tests.create_organizations();
-- The analyst of acme is also one of globex, and the admin of acme an admin there.
select bulwark.grant_role(tests.user_id('admin@acme.test'), 'admin', tests.globex());

create table public.reports (
  id bigint generated always as identity primary key,
  organization_id uuid not null,
  owner_id uuid,
  title text not null
);
alter table public.reports enable row level security;
grant select, insert, update on public.reports to authenticated;
create policy "Members read reports" on public.reports for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
create policy "Members write reports" on public.reports for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
create policy "Members change reports" on public.reports for update to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
create policy "Owners read theirs" on public.reports for select to authenticated
  using (owner_id = (select auth.uid()));
insert into public.reports (organization_id, owner_id, title) values
  (tests.acme(), tests.user_id('admin@acme.test'), 'of acme'),
  (tests.globex(), tests.user_id('admin@acme.test'), 'of globex');
select bulwark.admit_api_keys('public.reports');
select bulwark.enable_audit('public.reports', organization_column => 'organization_id');

create temporary table key (name text primary key, id uuid, api_key text);
grant select, insert on key to public;
create function pg_temp.issue(
  email text, name text, scopes text[], slug text default 'acme', networks text[] default null
) returns text language plpgsql as $$
declare
  v_error text;
begin
  perform tests.act_as(email);
  v_error := tests.error(format(
    'insert into pg_temp.key select %L, k.id, k.api_key
     from bulwark.create_api_key(%L, %L, %L, networks => %L) k',
    name, tests.organization_id(slug), name, scopes, networks
  ));
  perform tests.act_as_owner();
  return v_error;
end;
$$;
-- Result of a statement with a key, run as PostgREST runs it for a token of the key.
create function pg_temp.with_key(name text, statement text, headers jsonb default '{}')
  returns text language plpgsql as $$
declare
  v_answer text;
  v_key uuid := (select k.id from key k where k.name = with_key.name);
begin
  perform set_config('request.headers', headers::text, true);
  perform set_config(
    'request.jwt.claims', json_build_object('role', 'api_key', 'api_key_id', v_key)::text, true
  );
  perform set_config('role', 'api_key', true);
  begin
    execute statement into v_answer;
  exception when others then
    v_answer := sqlstate;
  end;
  perform set_config('role', 'none', true);
  perform set_config('request.jwt.claims', '', true);
  perform set_config('request.headers', '', true);
  return v_answer;
end;
$$;
create function pg_temp.reads(name text, headers jsonb default '{}') returns text language sql as $$
  select pg_temp.with_key(
    name, $q$ select string_agg(title, ', ' order by title) from public.reports $q$, headers
  );
$$;
create function pg_temp.writes(name text, slug text default 'acme') returns text language sql as $$
  select pg_temp.with_key(name, format(
    $q$ with done as (insert into public.reports (organization_id, title) values (%L, 'mine')
        returning organization_id) select 'written' from done $q$, tests.organization_id(slug)
  ));
$$;

-- a key
select is(
  pg_temp.issue('admin@acme.test', 'both', '{analytics:read,analytics:write,analytics:read}'),
  'no error', 'KEY-01: a member with api_key:create issues a key'
);
select is(
  pg_temp.issue('admin@acme.test', 'reader', '{analytics:read}'), 'no error', 'KEY-01: or more'
);
select matches(
  (select api_key from key where name = 'both'), '^bwk_live_[0-9A-Za-z]{38}$',
  'KEY-02: it has the form prefix, environment, secret and checksum'
);
select is(
  (select right(api_key, 6) from key where name = 'both'),
  (select bulwark_private.checksum_base62(substr(api_key, 10, 32)) from key where name = 'both'),
  'KEY-02: the checksum is that of the secret'
);
select is(
  bulwark_private.checksum_base62('zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ'), '0mLq17',
  'KEY-03: the checksum is the CRC-32 that scanners know'
);
select is(
  (select count(
    distinct bulwark_private.random_base62(32)
  ) from generate_series(1, 200)), 200::bigint,
  'KEY-04: no two secrets are alike'
);
select is(
  (select bool_and(
    bulwark_private.random_base62(33) ~ '^[0-9A-Za-z]{33}$'
  ) from generate_series(1, 50)),
  true, 'KEY-04: and each has the length and the characters asked for'
);
select results_eq(
  $$ select k.scopes, k.first_characters = left(t.api_key, 13), k.expires_at::date
     from bulwark.api_keys k join key t on t.id = k.id and t.name = 'both' $$,
  $$ values ('{analytics:read,analytics:write}'::text[], true,
    (now() + interval '90 days')::date) $$,
  'KEY-05: its scopes are kept once each, with its first characters and an end'
);
select results_eq(
  $$ select sha256(convert_to(t.api_key, 'UTF8')) = h.key_hash from key t
     join bulwark_private.api_key_hashes h on h.api_key_id = t.id $$,
  $$ values (true), (true) $$, 'KEY-06: what is kept of the key is its SHA-256'
);
select is_empty(
  $$ select from bulwark.api_keys k, key t where to_jsonb(k)::text like '%' || t.api_key || '%'
     union all select from bulwark.audit_logs e, key t
       where to_jsonb(e)::text like '%' || substr(t.api_key, 14, 20) || '%' $$,
  'KEY-06: and neither the table nor the audit log holds the key'
);

-- reading and writing
select is(pg_temp.reads('both'), 'of acme', 'KEY-07: a key reads its organization alone');
select is(pg_temp.writes('both'), 'written', 'KEY-08: and writes there');
select is(pg_temp.writes('both', 'globex'), '42501', 'KEY-08: and nowhere else');
select is(pg_temp.writes('reader'), '42501', 'KEY-09: beyond its scopes it is refused');
select is(
  pg_temp.with_key('both', 'select auth.uid()'), '42501',
  'KEY-10: a key is nobody to a policy that asks for a user'
);
select is(
  pg_temp.with_key('both', $$ select count(*) from bulwark.api_keys $$), '42501',
  'KEY-11: a key reads no table that did not admit keys'
);
select is(
  pg_temp.with_key('both', $$ select bulwark.create_api_key(null, 'x', '{analytics:read}') $$),
  '42501', 'KEY-12: a key issues no keys'
);
select is(got, want, claim)
from (values
  ('KEY-12: and administers nothing',
   pg_temp.with_key('both', $$ select bulwark.grant_role(null, 'admin') $$), '42501'),
  ('KEY-13: a misspelt permission is an error to a key too',
   pg_temp.with_key('both', $$ select bulwark.organizations_with('analytics:raed') $$), '22023'),
  ('KEY-14: a token of no key holds nothing',
   pg_temp.with_key('nobody', $$ select bulwark.organizations_with('analytics:read') $$), null)
) as t (claim, got, want);

-- the audit log
select results_eq(
  $$ select e.actor_type::text, e.actor_id = k.id, e.event_type from bulwark.audit_logs e
     join key k on k.name = 'both'
     where e.resource_type = 'public.reports' and e.action = 'insert'
       and e.after ->> 'title' = 'mine' $$,
  $$ values ('api_key', true, 'data.create') $$,
  'KEY-15: what is written with a key names the key'
);
select results_eq(
  $$ select e.event_type, e.actor_id = tests.user_id('admin@acme.test')
     from bulwark.audit_logs e join key k on k.id::text = e.resource_id and k.name = 'both'
     where e.resource_type = 'bulwark.api_keys' $$,
  $$ values ('api.key_created', true) $$, 'KEY-15: that it was issued, and by whom, is an entry'
);

-- no more than its owner, at creation and later
select is(
  pg_temp.issue('viewer@acme.test', 'x', '{analytics:read}'), '42501 RBAC_PERMISSION_DENIED',
  'KEY-16: without api_key:create nobody issues a key'
);
select is(
  pg_temp.issue('admin@globex.test', 'x', '{analytics:read}'), '42501 RBAC_PERMISSION_DENIED',
  'KEY-16: nor does an administrator elsewhere'
);
select is(
  pg_temp.issue('admin@acme.test', 'x', '{analytics:read,role:grant}'),
  '42501 API_KEY_SCOPE_NOT_FOR_PROGRAMS', 'KEY-17: no key holds what is not for programs'
);
select is(
  pg_temp.issue('admin@acme.test', 'x', '{analytics:raed}'), '22023 RBAC_UNKNOWN_PERMISSION',
  'KEY-17: or what does not exist'
);
select tests.act_as('admin@acme.test');
select isnt(
  (bulwark.create_role(
    tests.acme(), 'issuer', '{api_key:create,analytics:read}'
  )).id,
  null, 'KEY-18: (a role that issues keys and reads)'
);
select bulwark.grant_role(tests.user_id('viewer@acme.test'), 'issuer', tests.acme());
select tests.act_as_owner();
select is(
  pg_temp.issue('viewer@acme.test', 'x', '{analytics:read,analytics:write}'),
  '42501 API_KEY_SCOPE_NOT_HELD', 'KEY-18: nobody issues a key that holds more than they do'
);
select is(
  pg_temp.issue('viewer@acme.test', 'narrow', '{analytics:read}'), 'no error',
  'KEY-18: but one that holds as much'
);
select is(pg_temp.reads('narrow'), 'mine, of acme', 'KEY-19: (the key reads)');
select bulwark.revoke_role(
  tests.user_id('viewer@acme.test'), r.name, tests.acme()
)
from unnest('{issuer,viewer}'::text[]) as r (name);
select is(pg_temp.reads('narrow'), null, 'KEY-19: whose owner has left reads nothing any more');
select bulwark.grant_role(tests.user_id('admin@acme.test'), 'viewer', tests.acme());
select bulwark.grant_role(tests.user_id('analyst@acme.test'), 'admin', tests.acme());
select bulwark.revoke_role(tests.user_id('admin@acme.test'), 'admin', tests.acme());
select is(pg_temp.writes('both'), '42501', 'KEY-20: demoting the owner narrows the key');
select is(pg_temp.reads('both'), 'mine, of acme', 'KEY-20: to what the owner still holds');
update auth.users set banned_until = now() + interval '1 day' where email = 'admin@acme.test';
select is(pg_temp.reads('both'), null, 'KEY-20: a suspended owner ends it');
update auth.users set banned_until = null where email = 'admin@acme.test';
select bulwark.grant_role(tests.user_id('admin@acme.test'), 'admin', tests.acme());

-- every loss of rights of the owner applies to the key on the next statement
create function pg_temp.reads_after(change text) returns text language plpgsql as $$
declare
  v_read text;
begin
  begin
    execute change;
    v_read := pg_temp.reads('both');
    raise exception using errcode = 'TEST0';
  exception when sqlstate 'TEST0' then null;
  end;
  return v_read;
end;
$$;
select is(pg_temp.reads_after('select 1'), 'mine, of acme', 'KEY-25: (the key reads)');
select is(pg_temp.reads_after(c.change), null, 'KEY-25: and nothing any more after ' || c.change)
from (values
  ('update bulwark.user_roles set expires_at = now(), starts_at = now() - interval ''1 day''
    where user_id = tests.user_id(''admin@acme.test'')'),
  ('update bulwark.user_roles set starts_at = now() + interval ''1 hour'', expires_at = null
    where user_id = tests.user_id(''admin@acme.test'')'),
  ('update auth.users set deleted_at = now() where email = ''admin@acme.test'''),
  ('delete from auth.users where email = ''admin@acme.test'''),
  ('delete from bulwark.role_permissions where permission = ''analytics:read'''),
  ('delete from bulwark.role_permissions
    where permission = ''analytics:read'' and role_id = bulwark_private.api_user_role()'),
  ('delete from bulwark.organizations where slug = ''acme'''),
  ('insert into bulwark.api_key_policies values (tests.organization_id(''acme''), false, false)')
) as c (change);

-- networks
update bulwark.settings set value = '"x-forwarded-for"' where name = 'rate_limits.address_header';
select is(
  pg_temp.issue('admin@acme.test', 'office', '{analytics:read}', 'acme',
    '{203.0.113.0/24,198.51.100.7,2001:db8::/48}'),
  'no error', 'KEY-21: a key can be bound to networks'
);
select results_eq(
  $$ select a.address, pg_temp.reads('office', jsonb_build_object('x-forwarded-for', a.address))
     from unnest('{203.0.113.9,198.51.100.7,2001:db8::1,198.51.100.8,2001:db9::1,nonsense}'::text[])
       as a (address) $$,
  $$ values ('203.0.113.9', 'mine, of acme'), ('198.51.100.7', 'mine, of acme'),
     ('2001:db8::1', 'mine, of acme'), ('198.51.100.8', null), ('2001:db9::1', null),
     ('nonsense', null) $$,
  'KEY-21: and is accepted from there alone'
);
select is(pg_temp.reads('office'), null, 'KEY-21: not from where nobody knows');
select results_eq(
  $$ select pg_temp.reads('office', jsonb_build_object('x-forwarded-for', a.address))
     from unnest('{::ffff:203.0.113.9,::FFFF:cb00:7109,[::ffff:203.0.113.9]:443,::ffff:198.51.100.8,
       ::203.0.113.9,203.0.113.09,0xcb.0.113.9}'::text[]) as a (address) $$,
  $$ values ('mine, of acme'), ('mine, of acme'), ('mine, of acme'),
            (null), (null), (null), (null) $$,
  'KEY-21: an IPv4 address is the same in the clothes of IPv6, and in no others'
);
select is(
  pg_temp.reads('office', '{"x-forwarded-for": "203.0.113.9, 192.0.2.1"}'), null,
  'KEY-21: nor from where only the caller says so'
);
select is(
  pg_temp.issue('admin@acme.test', 'x', '{analytics:read}', 'acme', networks),
  '22023 API_KEY_INVALID_NETWORK', 'KEY-22: no list holds ' || networks::text
)
from unnest(array[
  '{}', '{203.0.113.9/24}', '{nonsense}', '{2001:db8::1}', '{::ffff:203.0.113.0/120}',
  '{203.0.113.0/24,null}', '{{203.0.113.0/24}}'
]) as n (list)
cross join lateral (select n.list::text[]) as l (networks);

-- changes that only narrow
select is(
  tests.error(format(
    'update bulwark.api_keys set %s where name = ''reader''', change
  )), problem, 'KEY-23: not even the owner of the table does: ' || change
)
from (values
  ('scopes = scopes || ''{role:grant}''', '23514 COLUMN_IS_FIXED'),
  ('organization_id = tests.organization_id(''globex'')', '23514 COLUMN_IS_FIXED'),
  ('owner_id = tests.user_id(''super@bulwark.test'')', '23514 COLUMN_IS_FIXED'),
  ('networks = ''{0.0.0.0/0}''', '23514 COLUMN_IS_FIXED'),
  ('expires_at = expires_at + interval ''1 day''', '23514 API_KEY_ONLY_NARROWS')
) as c (change, problem);
update bulwark.api_keys set expires_at = now() where name = 'reader';
select is(pg_temp.reads('reader'), null, 'KEY-24: a key that has expired reads nothing');

select * from finish();
rollback;
