-- Cached permissions: the version changes with every change of a caller's permissions.
begin;
set local search_path = bulwark, public, extensions;
select plan(10);
select tests.create_organizations();

create function pg_temp.version_of(who text) returns text language plpgsql as $$
declare
  v_version text;
begin
  perform tests.act_as(who);
  select version into v_version from my_permissions(tests.acme());
  perform tests.act_as_owner();
  return v_version;
end;
$$;
create temporary table seen as select pg_temp.version_of('analyst@acme.test') as version;
create function pg_temp.moved() returns boolean language plpgsql as $$
declare
  v_now text := pg_temp.version_of('analyst@acme.test');
  v_moved boolean := (select version <> v_now from seen);
begin
  update seen set version = v_now;
  return v_moved;
end;
$$;

select is(pg_temp.moved(), false, 'CACHE-S01: while nothing changes the version stays');
select grant_role(tests.user_id('analyst@acme.test'), 'viewer', tests.acme());
select is(pg_temp.moved(), true, 'CACHE-S02: a grant moves it');
select grant_role(tests.user_id('viewer@globex.test'), 'analyst', tests.globex());
select is(pg_temp.moved(), false, 'CACHE-S03: one in another organization does not');
delete from role_permissions where permission = 'analytics:export';
select is(pg_temp.moved(), true, 'CACHE-S04: a role that loses a permission changes it');
update auth.users set banned_until = now() + interval '1 day' where email = 'analyst@acme.test';
select is(
  tests.error_as('analyst@acme.test', 'authenticated', 'select my_permissions()'),
  '42501 ACCOUNT_SUSPENDED', 'CACHE-S05: while an account is banned there is none'
);
update auth.users set banned_until = null where email = 'analyst@acme.test';
select is(pg_temp.moved(), false, 'CACHE-S06: and then the one of before');
select isnt(
  pg_temp.version_of('analyst@acme.test'), pg_temp.version_of('viewer@acme.test'),
  'CACHE-S07: a version of one user is never another''s'
);

-- acting as an analyst
select tests.act_as('analyst@acme.test');
select results_eq(
  $$ select unnest(permissions) from my_permissions(tests.acme()) order by 1 $$,
  $$ select permission from check_permissions(array(select name from permissions order by 1),
       tests.acme()) where allowed order by 1 $$,
  'CACHE-S08: the list equals the single checks'
);
select is(
  (select permissions from my_permissions(tests.globex())), '{}'::text[],
  'CACHE-S09: of a foreign organization it is empty'
);
select tests.act_as_owner();
select is(
  tests.error_as(null, 'authenticated', 'select my_permissions()'), '42501 RBAC_NOT_AUTHENTICATED',
  'CACHE-S10: an unknown user has no permissions'
);
select * from finish();
rollback;
