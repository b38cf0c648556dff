-- Helpers for API keys and tables: a statement run with a key, a table of a host application, and
-- the problems that a change causes. This file commits, like the other helpers.
begin;
set local search_path = bulwark, public, extensions;
create schema if not exists tests;
-- They call helpers of other files, which are missing when this file runs alone.
set local check_function_bodies = off;

-- The result or the error of a statement that is run with the key in the temporary table key.
create or replace function tests.with_key(statement text) returns text language plpgsql as $$
declare
  v_answer text;
begin
  perform set_config(
    'request.jwt.claims', json_build_object('role', 'api_key', 'api_key_id', k.id)::text, true
  )
  from key k;
  perform set_config('role', 'api_key', true);
  begin
    execute statement into v_answer;
  exception when others then
    v_answer := sqlstate;
  end;
  perform tests.act_as_owner();
  return v_answer;
end;
$$;
-- A typical table of a host application, with one row in each organization.
create or replace function tests.make_host_table(target text, storage text default '')
  returns void language plpgsql as $$
declare
  v_command text;
begin
  execute format(
    'create table %s (id integer, organization_id uuid, body text) %s', target, storage
  );
  execute format('alter table %s enable row level security', target);
  execute format('grant select, insert, update, delete on %s to authenticated', target);
  foreach v_command in array '{select, update, delete}'::text[] loop
    execute format(
      'create policy %I on %s for %s to authenticated
       using (organization_id = any (array(select bulwark.organizations_with(%L))))',
      v_command, target, v_command,
      case when v_command = 'select' then 'analytics:read' else 'analytics:write' end
    );
  end loop;
end;
$$;
create or replace function tests.fill_host_table(target text) returns void language plpgsql as $$
begin
  execute format(
    'insert into %s values (1, %L, ''ours''), (2, %L, ''theirs'')',
    target, tests.organization_id('acme'), tests.organization_id('globex')
  );
end;
$$;
create or replace function tests.admit_error(target text) returns text language sql as $$
  select tests.error(format('select bulwark.admit_api_keys(%L)', target));
$$;
create or replace function tests.key_problems() returns text language sql as $$
  select string_agg(concat_ws(': ', p.relation, p.problem), ' + ' order by p.relation, p.problem)
  from bulwark.api_key_table_problems() p;
$$;
-- The problems that a change causes; the change is undone.
create or replace function tests.key_problems_after(change text) returns text language plpgsql as $$
declare
  v_problems text;
begin
  begin
    execute change;
    v_problems := tests.key_problems();
    raise exception using errcode = 'TEST0';
  exception when sqlstate 'TEST0' then null;
  end;
  return v_problems;
end;
$$;
grant execute on all functions in schema tests to public;

select plan(1);
select is(
  tests.key_problems(), null, 'HELP-04: without tables of a host application there is no problem'
);
select * from finish();
commit;
