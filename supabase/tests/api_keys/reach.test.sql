-- API keys: the privileges of the database role, and where claims count.
begin;
set local search_path = bulwark, public, extensions;
select plan(15);
select tests.create_organizations();
select tests.act_as('admin@acme.test');
create temporary table key as
  select k.id from bulwark.create_api_key(
    tests.acme(), 'key', '{analytics:read,analytics:write}'
  ) k;
select tests.act_as_owner();
grant select on key to public;

-- the role
select results_eq(
  $$ select p.oid::regprocedure::text
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname in ('bulwark', 'bulwark_private')
       and has_function_privilege('api_key', p.oid, 'execute')
       and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
       and p.proname not like 'test%'
     order by p.oid::regprocedure::text collate "C" $$,
  $$ values ('bulwark_private.charge_request()'), ('bulwark_private.resolve_api_key()'),
       ('check_request()'), ('mfa_verified(interval)'), ('organizations_with(text)'),
       ('rate_limit_caller()') $$,
  'KEY-95: a key reaches what policies, the hook and limits ask, and no other function'
);
select is_empty(
  $$ select c.oid::regclass
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('bulwark', 'bulwark_private', 'auth')
       and c.relkind in ('r', 'v', 'm', 'p', 'f', 'S')
       and case c.relkind
         when 'S' then has_sequence_privilege('api_key', c.oid, 'usage, select, update')
         else has_any_column_privilege('api_key', c.oid, 'select, insert, update')
           or has_table_privilege('api_key', c.oid, 'delete, truncate, references, trigger')
       end $$,
  'KEY-95: and of all tables, views and sequences none'
);
select is_empty(
  $$ select n.nspname from pg_namespace n
     where (has_schema_privilege('api_key', n.oid, 'usage')
         and n.nspname not in (
           'public', 'bulwark', 'bulwark_private', 'pg_catalog', 'information_schema', 'tests'
         )
         and n.nspname !~ '^pg_(temp|toast)')
       or (has_schema_privilege('api_key', n.oid, 'create') and n.nspname !~ '^pg_temp') $$,
  'KEY-95: it uses no other schema and makes nothing in any'
);
select results_eq(
  $$ select r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb,
       (select count(*) from pg_auth_members m where m.member = r.oid)
     from pg_roles r where r.rolname = 'api_key' $$,
  $$ values (false, 0::bigint) $$, 'KEY-95: the role has no rights of its own and is in no other'
);

-- claims
create table public.reports (
  id bigint generated always as identity primary key, organization_id uuid not null, title text
);
alter table public.reports enable row level security;
grant select, insert on public.reports to authenticated, service_role;
create policy "Members write reports" on public.reports for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
select bulwark.admit_api_keys('public.reports');
select bulwark.enable_audit('public.reports', organization_column => 'organization_id');
create function pg_temp.writes(role text, claims jsonb) returns text language plpgsql as $$
declare
  v_title constant text := gen_random_uuid();
  v_who text;
begin
  perform set_config(
    'request.jwt.claims', (claims || jsonb_build_object('role', role))::text, true
  );
  perform set_config('role', role, true);
  begin
    insert into public.reports (organization_id, title)
    values (tests.acme(), v_title);
  exception when insufficient_privilege then
    v_who := 'refused';
  end;
  perform tests.act_as_owner();
  return coalesce(v_who, (
    select e.actor_type || ' ' || case e.actor_id
      when (select id from key) then 'the key'
      when tests.user_id('analyst@acme.test') then 'analyst'
      else coalesce(e.actor_id::text, 'nobody') end
    from bulwark.audit_logs e where e.after ->> 'title' = v_title
  ));
end;
$$;
select is(
  pg_temp.writes('authenticated', jsonb_build_object(
    'sub', tests.user_id('analyst@acme.test'),
    'session_id', tests.session_of(tests.user_id('analyst@acme.test')),
    'api_key_id', (select id from key))),
  'user analyst', 'KEY-96: a person whose token claims a key is recorded as themselves'
);
select is(
  pg_temp.writes('authenticated', jsonb_build_object(
    'sub', tests.user_id('viewer@acme.test'), 'api_key_id', (select id from key))),
  'refused', 'KEY-96: and may no more for it'
);
select is(
  pg_temp.writes('service_role', jsonb_build_object('api_key_id', (select id from key))),
  'service nobody', 'KEY-96: nor is the service role a key by a claim'
);
select is(
  pg_temp.writes('api_key', jsonb_build_object(
    'sub', tests.user_id('analyst@acme.test'), 'api_key_id', (select id from key))),
  'api_key the key', 'KEY-96: a key is recorded as the key, also if its token names a person'
);
select is(
  pg_temp.writes('api_key', jsonb_build_object('sub', tests.user_id('analyst@acme.test'))),
  'refused', 'KEY-96: and a token of no key writes nothing'
);
select is(
  pg_temp.writes('api_key', jsonb_build_object('api_key_id', 'x'' or true --')),
  'refused', 'KEY-96: nor does one of nonsense'
);

-- A function of the host application that is open to keys and checks permissions as for people.
create function public.host_function() returns void language plpgsql security definer as $$
begin
  perform bulwark.require_permission('analytics:read', tests.acme());
end;
$$;
grant execute on function public.host_function() to api_key;
create function pg_temp.calls(claims jsonb) returns text language plpgsql as $$
declare
  v_error text := 'no error';
begin
  perform set_config('request.jwt.claims', claims::text, true);
  perform set_config('role', 'api_key', true);
  begin
    perform public.host_function();
  exception when others then
    get stacked diagnostics v_error = pg_exception_detail;
  end;
  perform tests.act_as_owner();
  return v_error;
end;
$$;
select is(
  pg_temp.calls(jsonb_build_object('api_key_id', (select id from key))), 'RBAC_NOT_AUTHENTICATED',
  'KEY-97: a function that asks for a person''s permission refuses a key'
);
insert into bulwark.mfa_policies (organization_id, required_from)
values (tests.acme(), now() - interval '1 minute');
select is(
  pg_temp.calls(jsonb_build_object(
    'api_key_id', (select id from key), 'sub', tests.user_id('analyst@acme.test'))),
  'RBAC_NOT_AUTHENTICATED',
  'KEY-97: where a second factor is required a key passes for no verified session'
);
select is(
  pg_temp.writes('api_key', jsonb_build_object('api_key_id', (select id from key))), 'refused',
  'KEY-97: nor does it write there'
);
select tests.add_factor('analyst@acme.test'), tests.verify_session('analyst@acme.test');
create function pg_temp.verified(role text) returns boolean language plpgsql as $$
declare
  v_verified boolean;
begin
  perform tests.act_in(
    'analyst@acme.test', tests.session_of(tests.user_id('analyst@acme.test')), role
  );
  v_verified := bulwark.mfa_verified('1 hour');
  perform tests.act_as_owner();
  return v_verified;
end;
$$;
select ok(pg_temp.verified('authenticated'), 'KEY-97: (a session that has verified a factor)');
select ok(
  not pg_temp.verified('api_key'), 'KEY-97: which is no key''s, though its token names it'
);

select * from finish();
rollback;
