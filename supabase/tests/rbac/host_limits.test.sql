-- Tables of the host at their limits: keys that are used again or in two spellings, many teams and
-- members in one statement, tables that were dropped, rows that are only marked as deleted.
begin;
set local search_path = bulwark, public, extensions;
select plan(37);
-- Until there are many, indexes look as costly as those that large transactions bloated: LIM-37.
set local random_page_cost = 1000;
-- A project with organizations of its own first says which rows they are.
select tests.without_organizations();
select tests.create_user(name || '@limits.test') from unnest('{ada, bob, cem}'::text[]) as name;
create function pg_temp.id(name text) returns uuid language sql stable as
  'select tests.user_id(name || ''@limits.test'')';
create function pg_temp.held(who text, key text) returns text[] language sql stable as $$
  select array_agg(concat(r.name, '/', g.source) order by r.level desc, g.source)
  from bulwark.user_roles g
  join bulwark.roles r on r.id = g.role_id
  where g.user_id = pg_temp.id(who) and g.organization_id = bulwark.organization_id(key);
$$;
create function pg_temp.version_of(key text) returns bigint language sql stable as $$
  select version from bulwark_private.permission_versions
  where organization_id is not distinct from bulwark.organization_id(key);
$$;

-- a caller who claims to hold all locks
create function pg_temp.locks() returns bigint language sql volatile as $$
  select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid();
$$;
select set_config('bulwark.rights_locked', 'all', true), set_config('bulwark.rights', 'all', true);
select bulwark_private.lock_rights(null);
create temporary table unlocked as select pg_temp.locks() as number;
select bulwark_private.lock_rights('0199f6a0-0000-7000-8000-000000000001', exclusively => true);
select is(
  pg_temp.locks(), (select number + 1 from unlocked),
  'LIM-26: no setting of a caller saves a lock: rights could be taken while they are used'
);

-- keys that users choose
create table public.spaces (key text primary key, name text);
create table public.space_members (
  key text not null,
  user_id uuid not null,
  role text,
  deleted_at timestamptz,
  effective text generated always as (case when deleted_at is null then role end) stored,
  primary key (key, user_id)
);
select use_organizations('public.spaces', 'key');
select use_members('public.space_members', 'key', role => 'effective',
  roles => '{"owner": "admin", "member": "analyst"}');
insert into public.spaces values ('acme', 'First'), ('globex', 'Globex');
insert into public.space_members (key, user_id, role) values ('acme', pg_temp.id('ada'), 'owner');
delete from public.spaces where key = 'acme';
delete from public.space_members where key = 'acme';
select is(
  tests.error($$ insert into public.spaces values ('acme', 'Second') $$),
  '23505 RBAC_HOST_KEY_REFUSED', 'LIM-01: the key of a deleted organization is not used again'
);
select lives_ok(
  $$ insert into public.spaces values ('globex', 'Globex')
    on conflict (key) do update set name = excluded.name $$,
  'LIM-02: an upsert of a living one is no new use'
);
select lives_ok(
  $$ insert into public.spaces values ('acme2', 'x') $$, 'LIM-03: nor is another key'
);
select is(
  (select count(*) from audit_logs a
    join bulwark.organizations o on o.id = a.organization_id
    where a.before ->> 'name' = 'First' or a.after ->> 'name' = 'First'), 0::bigint,
  'LIM-04: so no organization has the log of another'
);
update settings set value = 'true' where name = 'rbac.reuse_organization_keys';
select lives_ok(
  $$ insert into public.spaces values ('acme', 'Second') $$,
  'LIM-05: unless the setting allows it, for databases of tests'
);
update settings set value = 'false' where name = 'rbac.reuse_organization_keys';
select is(
  tests.error($$ insert into public.spaces
    values ('00000000-0000-0000-0000-000000000000', 'x') $$),
  '23514 RBAC_HOST_KEY_REFUSED', 'LIM-06: the UUID of zeros stands for the installation'
);
select is(
  tests.error($$ insert into bulwark.organizations (id, name, slug)
    values ('00000000-0000-0000-0000-000000000000', 'Zero', 'zero') $$),
  '23514 RBAC_HOST_KEY_REFUSED', 'LIM-07: for every writer'
);

-- a UUID in two spellings
insert into public.spaces values ('0199f6a0-0000-7000-8000-00000000ace1', 'Lower');
insert into public.space_members (key, user_id, role)
values ('0199f6a0-0000-7000-8000-00000000ace1', pg_temp.id('ada'), 'owner');
select is(
  tests.error($$ insert into public.space_members (key, user_id, role)
    values ('0199F6A0-0000-7000-8000-00000000ACE1', pg_temp.id('bob'), 'owner') $$),
  '23514 RBAC_HOST_KEY_REFUSED', 'LIM-08: a row that names an organization by another spelling'
);
select is(
  concat(pg_temp.held('ada', '0199f6a0-0000-7000-8000-00000000ace1')::text,
    pg_temp.held('bob', '0199f6a0-0000-7000-8000-00000000ace1')::text), '{admin/host}',
  'LIM-09: gives nothing and takes nothing'
);
insert into public.spaces values ('acme ', 'Blank'), (' acme', 'Blank'), ('01', 'x'), ('1', 'x'),
  ('{0199f6a0-0000-7000-8000-00000000ace1}', 'Braces'), ('', 'Nothing');
insert into public.space_members (key, user_id, role) values ('acme ', pg_temp.id('bob'), 'owner');
select is(
  concat(pg_temp.held('bob', 'acme')::text, pg_temp.held('bob', 'acme ')::text), '{admin/host}',
  'LIM-10: keys that look alike are organizations of their own'
);
create collation public.folded (
  provider = icu, locale = 'und-u-ks-level2', deterministic = false
);
create table public.folded_spaces (key text collate public.folded primary key, name text);
select is(
  tests.error($$ select use_members('public.folded_spaces', 'key', 'name', null) $$),
  '42703 RBAC_HOST_COLUMN_UNSUITABLE', 'LIM-11: equal keys are the same text, in every collation'
);

select is(
  bulwark_private.organization_expression('public.folded_spaces'::regclass, 'key', 'x'), null,
  'LIM-31: and no guard takes one such key for another'
);
select isnt(
  bulwark_private.organization_expression('public.spaces'::regclass, 'key', 'x'), null,
  'LIM-32: unlike those of ordinary text'
);

-- rows that are only marked
select is(pg_temp.held('cem', 'globex'), null, 'LIM-12: a stranger');
insert into public.space_members (key, user_id, role)
values ('globex', pg_temp.id('cem'), 'member');
select is(pg_temp.held('cem', 'globex'), '{analyst/host}', 'LIM-13: a generated column is a role');
update public.space_members set deleted_at = now() where user_id = pg_temp.id('cem');
select is(pg_temp.held('cem', 'globex'), null, 'LIM-14: which ends when the row is marked');

-- every way to write
merge into public.space_members m
using (values ('ada', 'owner'), ('cem', 'member')) as v (name, role)
on m.key = 'globex' and m.user_id = pg_temp.id(v.name)
when matched then delete
when not matched then insert (key, user_id, role) values ('globex', pg_temp.id(v.name), v.role);
select is(pg_temp.held('ada', 'globex'), '{admin/host}', 'LIM-15: merge gives');
insert into public.space_members (key, user_id, role) values ('globex', pg_temp.id('ada'), 'member')
on conflict (key, user_id) do update set role = excluded.role;
select is(pg_temp.held('ada', 'globex'), '{analyst/host}', 'LIM-16: an upsert replaces');
create function public.cancel_or_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    return null;
  end if;
  new.role := 'member';
  return new;
end;
$$;
create trigger cancel_or_change before update or delete on public.space_members
  for each row execute function public.cancel_or_change();
update public.space_members set role = 'owner' where key = 'globex';
delete from public.space_members where key = 'globex';
select is(
  pg_temp.held('ada', 'globex'), '{analyst/host}',
  'LIM-17: rows count as the host''s own triggers have left them'
);
drop trigger cancel_or_change on public.space_members;

-- a table that was dropped
create table public.space_owners (key text primary key, user_id uuid not null);
select use_members('public.space_owners', 'key', role => null, otherwise => 'admin');
insert into public.space_owners values ('globex', pg_temp.id('bob'));
drop table public.space_owners;
select is(
  tests.error($$ insert into public.space_members (key, user_id, role)
    values ('globex', pg_temp.id('cem'), 'member') $$),
  '55000 RBAC_HOST_TABLE_CHANGED', 'LIM-18: members of a table that is gone make writes fail'
);
select use_members('public.space_members', 'key', role => 'effective',
  roles => '{"owner": "admin", "member": "analyst"}');
select is(
  concat(pg_temp.held('bob', 'globex')::text, pg_temp.held('ada', 'globex')::text),
  '{analyst/host}', 'LIM-19: repeating the call for another ends them'
);

-- caches: every change of rights is one of the version
create temporary table versions as select 0 as step, pg_temp.version_of('globex') as version;
insert into public.space_members (key, user_id, role)
values ('globex', pg_temp.id('cem'), 'member');
insert into versions select 1, pg_temp.version_of('globex');
update public.space_members set role = 'owner'
where key = 'globex' and user_id = pg_temp.id('cem');
insert into versions select 2, pg_temp.version_of('globex');
delete from public.space_members where key = 'globex' and user_id = pg_temp.id('cem');
insert into versions select 3, pg_temp.version_of('globex');
insert into bulwark.user_roles (user_id, role_id, organization_id)
select pg_temp.id('cem'), r.id, organization_id('globex') from roles r where r.name = 'viewer';
insert into versions select 4, pg_temp.version_of('globex');
select is(
  (select bool_and(v.version > w.version) from versions v join versions w on w.step = v.step - 1
    where v.step = s), true, concat('LIM-', 26 + s, ': caches notice ', what)
)
from (values (1, 'a new member'), (2, 'another role'), (3, 'a removal'),
  (4, 'a grant that the operator inserts')) as v (s, what);
delete from bulwark.user_roles where user_id = pg_temp.id('cem');

-- calls about members change only what is not the host's
insert into public.space_members (key, user_id, role)
values ('globex', pg_temp.id('cem'), 'owner'), ('globex', pg_temp.id('bob'), 'member');
select tests.act_as('cem@limits.test');
select tests.error_is('LIM-31: a member of the host is removed there', 'PT409 RBAC_GRANT_IS_HOSTS',
  $$ select remove_member(organization_id('globex'), pg_temp.id('bob')) $$);
select tests.error_is('LIM-32: and leaves there', 'PT409 RBAC_GRANT_IS_HOSTS',
  $$ select leave_organization(organization_id('globex')) $$);
select tests.error_is('LIM-33: a list of roles without the host''s changes nothing',
  'PT409 RBAC_GRANT_IS_HOSTS',
  $$ select set_member_roles(organization_id('globex'), pg_temp.id('bob'), '{viewer}') $$);
select set_member_roles(organization_id('globex'), pg_temp.id('bob'), '{analyst,viewer}');
select tests.act_as_owner();
select is(
  pg_temp.held('bob', 'globex'), '{analyst/host,viewer/own}', 'LIM-34: one with it adds the others'
);
delete from public.space_members
where key = 'globex' and user_id in (pg_temp.id('cem'), pg_temp.id('bob'));

-- many at once
reset random_page_cost;
create temporary table before as select pg_temp.version_of('globex') as version;
insert into auth.users (id, email, email_confirmed_at)
select gen_random_uuid(), n || '@many.limits.test', now() from generate_series(1, 400) as n;
insert into public.space_members (key, user_id, role)
select 'globex', u.id, 'member' from auth.users u where u.email ~ '@many.limits.test$';
select is(
  (select count(*) from user_roles where organization_id = organization_id('globex')),
  401::bigint,
  'LIM-20: 400 members of one organization'
);
select cmp_ok(
  pg_temp.version_of('globex'), '<', (select version + 20 from before),
  'LIM-21: are a few changes of its rights, not one each'
);
create temporary table locked as select pg_temp.locks() as number;
insert into public.spaces select 'many ' || n, 'x' from generate_series(1, 300) as n;
insert into public.space_members (key, user_id, role)
select 'many ' || n, pg_temp.id('ada'), 'owner' from generate_series(1, 300) as n;
select is(
  pg_temp.held('ada', 'many 300'), '{admin/host}', 'LIM-22: members of 300 organizations'
);
select cmp_ok(
  pg_temp.locks(), '<', (select number + 20 from locked),
  'LIM-23: take one lock of all, for shared memory has no room for any number'
);
create function pg_temp.read() returns bigint language sql volatile as $$
  select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_all_tables
  where relid in ('auth.users'::regclass, 'organizations'::regclass, 'user_roles'::regclass,
    'bulwark_private.permission_versions'::regclass);
$$;
create temporary table read as select pg_temp.read() as rows;
delete from public.spaces where key ~ '^many';
select cmp_ok(
  pg_temp.locks(), '<', (select number + 20 from locked), 'LIM-24: and so do deletions'
);
select cmp_ok(
  pg_temp.read() - (select rows from read), '<', 300 * 50::bigint,
  'LIM-37: each reads its own rows only, with plans from when there were few'
);
delete from public.space_members where key ~ '^many';
select is_empty(
  $$ select * from bulwark_private.host_organization_problems() $$, 'LIM-25: nothing differs'
);
select * from finish();
rollback;
