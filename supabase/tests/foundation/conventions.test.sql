-- The project's own linter, over the catalogue instead of over text: the rules of every capability.
begin;
set local search_path = bulwark, public, extensions;
select plan(34);

create temporary view ours as
  select c.oid, n.nspname as schema, c.relname as name, c.relkind as kind, c.relrowsecurity as rls
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('bulwark', 'bulwark_private')
    and not exists (
      select from pg_depend d where d.objid = c.oid and d.deptype = 'e'
    );

create temporary view our_functions as
  select p.oid, p.oid::regprocedure::text as name, n.nspname as schema, p.prosecdef, p.proconfig,
    p.prorettype
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where n.nspname in ('bulwark', 'bulwark_private')
    and not exists (
      select from pg_depend d where d.objid = p.oid and d.deptype = 'e'
    );

select is_empty(
  $$ select schema, name from ours where kind in ('r', 'p') and not rls $$,
  'CONV-01: row level security is enabled on every table'
);
select is_empty(
  $$ select name from our_functions
     where proconfig is null or not 'search_path=pg_catalog, pg_temp' = any (proconfig) $$,
  'CONV-02: every function pins search_path, with the temporary schema named and last'
);
select is_empty(
  $$ select name from our_functions f where obj_description(f.oid, 'pg_proc') is null $$,
  'CONV-03: every function has a comment'
);
select is_empty(
  $$ select schema, name from ours where kind in ('r', 'p', 'v', 'm')
     and obj_description(oid, 'pg_class') is null $$,
  'CONV-04: every table and view has a comment'
);
select results_eq(
  $$ select client.role::text, f.name::text from our_functions f
     cross join (values ('anon'), ('api_key')) as client (role)
     where has_function_privilege(client.role, f.oid, 'execute')
     order by 1, 2 $$,
  $$ select role, name from (values
     -- PostgREST runs its pre-request hook as the role of the request, whichever it is.
     ('anon', 'bulwark_private.charge_request()'), ('anon', 'bulwark_private.resolve_api_key()'),
     ('anon', 'check_request()'),
     -- Invitees have no account yet.
     ('anon', 'preview_invitation(text)'),
     ('api_key', 'bulwark_private.charge_request()'),
     ('api_key', 'bulwark_private.resolve_api_key()'), ('api_key', 'check_request()'),
     -- Called by policies of MFA-required tables; false for API keys.
     ('api_key', 'mfa_verified(interval)'),
     -- Called by policies of tables that admit API keys.
     ('api_key', 'organizations_with(text)'),
     -- Whom a function charges for a key's request.
     ('api_key', 'rate_limit_caller()')
     ) as allowed (role, name)
     where tests.is_expected(name) $$,
  'CONV-05: anon and api_key execute the hook and what policies ask, anon a preview, no more'
);
select is_empty(
  $$ select f.name
     from our_functions f, aclexplode((select proacl from pg_proc where oid = f.oid)) a
     where a.grantee = 0 $$,
  'CONV-06: no function is executable by PUBLIC'
);
select is_empty(
  $$ select name from our_functions f
     where (select proacl from pg_proc where oid = f.oid) is null $$,
  'CONV-07: no function was left with the default privileges'
);
select is_empty(
  $$ select o.schema, o.name, client.role from ours o
     cross join (values ('anon'), ('authenticated'), ('service_role'), ('api_key'))
       as client (role)
     where o.schema = 'bulwark_private' and o.kind in ('r', 'p', 'v', 'm')
       and has_table_privilege(client.role, o.oid,
         'select, insert, update, delete, truncate, references, trigger') $$,
  'CONV-08: no API role has any privilege on a table of private'
);
select is_empty(
  $$ select o.name, client.role from ours o
     cross join (values ('anon'), ('api_key')) as client (role)
     where o.schema = 'bulwark' and o.kind in ('r', 'p', 'v', 'm')
       and has_table_privilege(client.role, o.oid,
         'select, insert, update, delete, truncate, references, trigger') $$,
  'CONV-09: anon and api_key have no privilege on a table of public'
);
select is_empty(
  $$ select o.name, client.role from ours o
     cross join (values ('authenticated'), ('service_role')) as client (role)
     where o.schema = 'bulwark' and o.kind in ('r', 'p', 'v', 'm')
       and has_table_privilege(client.role, o.oid,
         'insert, update, delete, truncate, references, trigger') $$,
  'CONV-10: clients and the service role write no table of ours, only functions do'
);
select is_empty(
  $$ select polname from pg_policy join ours on ours.oid = polrelid where polcmd = '*' $$,
  'CONV-11: no policy is for all commands'
);
select is_empty(
  $$ select polname from pg_policy join ours on ours.oid = polrelid where 0 = any (polroles) $$,
  'CONV-12: every policy names its role'
);
select is_empty(
  $$ select polname from pg_policy join ours on ours.oid = polrelid
     where pg_get_expr(polqual, polrelid)
       ~ '(user_has_permission|has_permission|user_permits)\(' $$,
  'CONV-13: no policy asks a permission row by row'
);
select is_empty(
  $$ select o.name from ours o where o.kind = 'v'
     and not exists (
       select from pg_class c where c.oid = o.oid and 'security_invoker=true' = any (c.reloptions)
     ) $$,
  'CONV-14: every view runs with the rights of its reader'
);
select is_empty(
  $$ select c.conrelid::regclass, c.conname
     from pg_constraint c
     join ours o on o.oid = c.conrelid
     where c.contype = 'f'
       and not exists (
         select from pg_index i
         where i.indrelid = c.conrelid
           and (string_to_array(i.indkey::text, ' ')::smallint[])[1:cardinality(c.conkey)]
             @> c.conkey
       ) $$,
  'CONV-15: every foreign key is indexed'
);
select is_empty(
  $$ select f.name from our_functions f
     where f.schema = 'bulwark_private' and f.prorettype = 'trigger'::regtype
       and has_function_privilege('authenticated', f.oid, 'execute') $$,
  'CONV-16: no trigger function is callable by clients'
);
select ok(
  not has_schema_privilege('anon', 'bulwark_private', 'create')
    and not has_schema_privilege('api_key', 'bulwark_private', 'create'),
  'CONV-17: anon and api_key make nothing in schema private, and reach there what CONV-05 names'
);
select is_empty(
  $$ select r.rolname from pg_roles r
     where r.rolname = 'api_key'
       and (
         pg_has_role('api_key', 'authenticated', 'member') or r.rolcanlogin or r.rolbypassrls
       ) $$,
  'CONV-18: api_key is no member of authenticated, cannot log in and is subject to RLS'
);

select is_empty(
  $$ select schema, name from ours where kind in ('r', 'p')
    and not bulwark_private.is_of_bulwark(oid) $$,
  'CONV-21: every table of ours is one that cannot be opened to API keys'
);

select results_eq(
  $$ select name::text collate "C" from (
       select f.name::text from our_functions f join pg_proc p on p.oid = f.oid
       where p.prosrc ~* '\muser_roles\M'
         -- Made for one table each, whose name they hold.
         and p.proname !~ '^audit_[a-z]+_[0-9a-f]{32}$'
       union all
       select o.name from ours o
       where o.kind in ('v', 'm') and pg_get_viewdef(o.oid) ~* '\muser_roles\M'
       union all
       select polrelid::regclass || ': ' || polname from pg_policy
       where polrelid <> 'bulwark.user_roles'::regclass
         and concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
           ~* '\muser_roles\M'
     ) reader
     order by 1 $$,
  $$ select name::text collate "C" from (values
       -- Write grants.
       -- Asks about one that ran out.
       ('bulwark_private.has_departed_since(uuid,invitations)'),
       -- Whom an organization knows, members of before included.
       ('bulwark_private.subject_is_known(uuid,uuid)'),
       ('bulwark_private.take_invitation(uuid,bytea)'), ('create_organization(text,text,uuid)'),
       ('grant_role(uuid,text,uuid,timestamp with time zone,timestamp with time zone)'),
       ('revoke_role(uuid,text,uuid)'), ('delete_role(uuid,text)'),
       ('set_member_roles(uuid,uuid,text[])'),
       ('bulwark_private.take_roles(uuid,uuid,uuid[],uuid)'),
       ('bulwark_private.follow_members(text,uuid[])'), ('bulwark_private.follow_granted()'),
       ('release_members()'),
       -- Compare grants with rows of the host.
       ('bulwark_private.host_grant_differences()'),
       ('bulwark_private.require_no_host_grant(uuid,uuid,uuid)'),
       -- List the organization's grants themselves, with those that are over.
       ('get_user_roles(uuid,uuid)'), ('explain_permission(uuid,text,uuid)'),
       ('list_names(uuid,uuid[])'),
       ('bulwark_private.can_see_user(uuid,uuid,boolean)'),
       -- A former member is erased, too.
       ('bulwark_private.require_erasable(uuid,uuid)'),
       -- The definition.
       ('unexpired_grants')
     ) allowed (name)
     where name = 'unexpired_grants' or tests.is_expected(name)
     order by 1 $$,
  'CONV-22: who is a member is asked of active_grants or unexpired_grants, not of user_roles'
);

-- The caller's identity has one definition.
create temporary view our_sources as
  select f.oid, f.schema, p.proname::text as name, f.name as signature, p.prosrc as source
  from our_functions f join pg_proc p on p.oid = f.oid
  union all
  select 0, 'policy', polname::text, concat(polrelid::regclass, ': ', polname),
    concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
  from pg_policy join ours on ours.oid = polrelid;
select is_empty(
  $$ select signature from our_sources where source ~ '\mauth\.(uid|jwt|role|email)\s*\(' $$,
  'CONV-23: nothing of ours takes a token''s word for who is calling: bulwark.current_person does'
);
select results_eq(
  $$ select signature collate "C" from our_sources
     where source ~ 'current_setting\(''request\.jwt\.claim'
     order by 1 $$,
  $$ values
     -- Looks whether there are claims at all before it asks bulwark_private.claims().
     ('bulwark_private.audit_logs_stamp()' collate "C"), ('bulwark_private.claims()') $$,
  'CONV-24: claims have one parser'
);
select results_eq(
  $$ select signature collate "C" from our_sources
     where source ~ '\mauth\.sessions\M' and name not like 'bulwark_audit_%'
     order by 1 $$,
  $$ select v.name collate "C" from (values
       -- Locks the session, and not the account with it.
       ('bulwark_private.hold_session()'),
       -- Tells a session that has ended from an account that is suspended.
       ('bulwark_private.require_user()'),
       -- A user's own, for the addresses and devices, and to delete one.
       ('end_session(uuid)'), ('my_sessions()')
     ) v (name)
     where tests.is_expected(v.name) $$,
  'CONV-25: a session that lives is one of bulwark_private.live_sessions'
);
select is(
  (select array_agg(signature order by signature collate "C")
   from our_sources where source ~ '\munexpired_sessions\M'),
  array['bulwark_private.session_permits(uuid,text,uuid,uuid)'],
  'CONV-25: or, where the account is looked up with the grant, of unexpired_sessions'
);
create temporary table our_calls as
  select distinct s.oid, m.word[1] as called
  from our_sources s
  cross join lateral regexp_matches(
    s.source, '\m(bulwark(?:_private)?\.[a-z_0-9]+)\M', 'g'
  ) as m (word)
  where s.oid <> 0;
-- Each function that clients call checks the caller, itself or in a function it calls. Read-only
-- functions without rights of their own may leave it to the policies of what they read.
select is_empty(
  $$ with recursive asks (oid) as (
       select s.oid from our_sources s
       where s.source ~ '\m(bulwark_private\.live_sessions|bulwark\.current_person)\M'
       union
       select c.oid
       from asks a
       join our_sources callee on callee.oid = a.oid
       join our_calls c on c.called = concat(callee.schema, '.', callee.name)
     )
     select f.name
     from our_functions f
     join pg_proc p on p.oid = f.oid
     where f.schema = 'bulwark' and has_function_privilege('authenticated', f.oid, 'execute')
       and f.oid not in (select a.oid from asks a)
       and (p.prosecdef or p.provolatile = 'v') $$,
  'CONV-26: every function that clients call asks who is calling'
);
select results_eq(
  $$ select f.name::text collate "C" from our_functions f join pg_proc p on p.oid = f.oid
     where p.provolatile = 'v'
       and has_function_privilege('authenticated', f.oid, 'execute')
       and p.prosrc ~ '\m(require_permission|session_permits|user_permits|is_super_admin|'
         'require_webhook_rights|can_see_user|find_webhook_endpoint|find_security_event|'
         'find_mfa_reset|find_revocable_key)\('
       and p.prosrc !~ '\m(lock_rights|require_permission_to_act|require_permission_to_change|'
         'bump_permission_version|require_issuer|take_[a-z_]+)\('
     order by 1 $$,
  $$ select name::text collate "C" from (values
       -- Writes an entry of the log alone, in front of what many requests do.
       ('authorize_field_access(text,text,text[],text[],uuid)'),
       ('log_audit_event(text,text,uuid,text,text,audit_result,audit_severity,jsonb,uuid,uuid)'),
       -- Undoes all that it writes.
       ('preview_webhook_delivery(uuid,uuid)')
     ) allowed (name)
     where tests.is_expected(name)
     order by 1 $$,
  'CONV-27: a function that writes by a right checks it, locks it and checks it again'
);

-- objects that are made later, as they are made while an application runs
create table public.made_later (id uuid primary key, organization_id uuid, secret text);
select bulwark.enable_audit('public.made_later');
do $$
begin
  if tests.is_expected('bulwark.declare_encrypted_column') then
    perform bulwark.declare_encrypted_column(
      'public.made_later', 'secret', 'organization_id', true
    );
  end if;
end;
$$;
select is_empty(
  $$ select * from bulwark_private.opened_privileges() $$,
  'CONV-28: nobody may more than migrations granted, also with what functions made since'
);
select is_empty(
  $$ select p.name, p.grants from bulwark_private.present_privileges p
     where p.kind = 'sequence' and p.grants <> '{}' $$,
  'CONV-29: no API role has anything on a sequence: identity columns need no grant'
);
select is_empty(
  $$ select p.oid::regprocedure from pg_proc p
     where p.pronamespace = 'bulwark_private'::regnamespace and p.proname <> 'object_name'
       and p.prosrc ~*
         '(create|add|drop) +(unique +)?(constraint|index|trigger|policy|table|function)'
       and p.prosrc ~ '(\mleft\(|::name\M|\|\| *''_)' $$,
  'CONV-30: names of objects that may be cut are made by bulwark_private.object_name'
);
-- Catching an error takes a subtransaction, which Postgres before 17 refuses in a parallel plan.
select is_empty(
  $$ with recursive code as materialized (
       select f.oid, f.name, p.proparallel, p.prosrc, concat(f.schema, '.', p.proname) as called
       from our_functions f join pg_proc p on p.oid = f.oid
     ),
     reached (oid) as (
       select c.oid from code c where c.proparallel <> 'u'
       union
       select c.oid
       from reached r
       join our_calls l on l.oid = r.oid
       join code c on c.called = l.called
     )
     select c.name from reached r join code c on c.oid = r.oid
     where c.prosrc ~* '\mexception\s+(--[^\n]*\s+)*when\M' $$,
  'CONV-37: no function that a parallel plan may run catches errors'
);

-- A refusal of an invalid value says in its message which values are accepted.
create temporary view our_refusals as
  select f.name, r[1] as statement, substring(r[1] from 'detail = ''([A-Z_]+)''') as code
  from our_functions f
  join pg_proc p on p.oid = f.oid
  cross join regexp_matches(p.prosrc, '(raise exception (?:[^'';]|''[^'']*'')*;)', 'g') r;
select is_empty(
  $$ select name, code from our_refusals
     where code is not null and statement !~ 'hint ='
       and code !~ '_INVALID_|_NULL_ARGUMENT$|_TOO_LARGE$'
       -- A guesser of keys learns nothing, and nobody may change the log.
       and code not in ('API_KEY_INVALID', 'AUDIT_LOG_IS_APPEND_ONLY') $$,
  'CONV-38: every refusal with a code has a hint that says what to do'
);
select cmp_ok(
  (select count(*) from our_refusals where statement ~ 'hint ='), '>', 40::bigint,
  'CONV-38: and refusals are found'
);

-- A person's transaction holds rows in an order of its own, so a job that waited for one of several
-- rows could deadlock with it.
create temporary view our_deletions as
  select distinct p.proname as name, d.statement,
    substring(d.statement from '^delete\s+from\s+(\S+)') as relation
  from bulwark_private.jobs j
  join our_functions f on true
  join pg_proc p on p.oid = f.oid and strpos(j.command, concat(f.schema, '.', p.proname, '(')) > 0
  cross join string_to_table(p.prosrc, ';') t
  cross join lateral (select substring(t from '\mdelete\s+from\M.*') as statement) d
  where d.statement is not null;
create temporary table kept_deletions (name text, relation text, why text);
insert into kept_deletions values
  ('cleanup_mfa', '%', 'locks the accounts first, and skips locked ones'),
  ('cleanup_old_audit_logs', 'bulwark_private.audit_exports', 'each row is updated by itself'),
  ('discard_restored_audit_logs', 'bulwark.audit_restored_logs', 'written once, never changed'),
  ('prune_audit_log', '%', 'one at a time, and nobody else changes these rows'),
  ('roll_up_metrics', 'bulwark_private.metric_points',
    'one at a time, and past points do not change'),
  ('roll_up_metrics', 'bulwark_private.metric_batches', 'written once, never changed'),
  ('cleanup_job_log', 'cron.job_run_details', 'only of runs that are over');
select is_empty(
  $$ select d.name, d.relation from our_deletions d
     where d.statement !~ 'skip locked' and not exists (
       select from kept_deletions k where k.name = d.name and d.relation like k.relation
     ) $$,
  'CONV-39: a job that deletes several rows skips locked ones'
);
select ok(
  (select count(*) > 10 from our_deletions) or not tests.is_complete(),
  'CONV-39: and deletions by jobs are found'
);

select * from finish();
rollback;
