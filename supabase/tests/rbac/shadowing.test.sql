-- Names of the caller's own in the temporary schema, which Postgres searches first unless told
-- otherwise: none may run with the rights of a SECURITY DEFINER function. In a file of its own,
-- because a function looks a type up once a session; pgTAP itself is asked afterwards.
begin;
set local search_path = bulwark, public, extensions;
select plan(2);
select tests.create_organizations();
select tests.error('select 1');

-- acting as a member who can run SQL
select tests.act_as('viewer@acme.test');
create function pg_temp.intrude() returns boolean language plpgsql as $$
begin
  if current_user <> 'authenticated' then
    raise exception 'code of the caller runs as %', current_user;
  end if;
  return true;
end;
$$;
create domain pg_temp.uuid as pg_catalog.uuid check (pg_temp.intrude());
create domain pg_temp.text as pg_catalog.text check (pg_temp.intrude());
select
  set_config('tests.roles', tests.error($$ select bulwark.get_user_roles(
    tests.user_id('viewer@acme.test'), tests.acme()) $$), true),
  set_config('tests.checks', tests.error($$ select bulwark.check_permissions(
    array['org:read'], tests.acme()) $$), true);
drop domain pg_temp.uuid, pg_temp.text;
select tests.act_as_owner();
select is(
  current_setting('tests.roles'), 'no error',
  'SHADOW-01: a type in the temporary schema shadows none in a function of ours'
);
select is(
  current_setting('tests.checks'), 'no error', 'SHADOW-02: nor in the functions it calls'
);

select * from finish();
rollback;
