-- Helpers that the other files share: users, acting as somebody, and what an error says. This file
-- commits; every other one rolls back.
begin;
set local search_path = bulwark, public, extensions;
create schema if not exists tests;

-- A confirmed account, made as Supabase Auth leaves it.
create or replace function tests.create_user(email text)
  returns uuid
  language sql
as $$
  insert into auth.users (id, aud, role, email, email_confirmed_at)
  values (gen_random_uuid(), 'authenticated', 'authenticated', create_user.email, now())
  returning id;
$$;

create or replace function tests.user_id(email text)
  returns uuid
  language sql
  stable
  security definer            -- definer because the API roles may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$ select u.id from auth.users u where u.email = user_id.email; $$;

create or replace function tests.organization_id(slug text)
  returns uuid
  language sql
  stable
  security definer            -- definer because outsiders name foreign organizations too
  set search_path = pg_catalog, pg_temp
as $$ select o.id from bulwark.organizations o where o.slug = organization_id.slug; $$;

create or replace function tests.acme() returns uuid
  language sql stable as $$ select tests.organization_id('acme'); $$;
create or replace function tests.globex() returns uuid
  language sql stable as $$ select tests.organization_id('globex'); $$;

-- The session that somebody acts in where a test says no other. Without triggers: that the helper
-- signs somebody in is not what a test of the audit log is about.
create or replace function tests.session_of(user_id uuid)
  returns uuid
  language plpgsql
  security definer            -- definer because the API roles may not write auth.sessions
  set search_path = pg_catalog, pg_temp
  set session_replication_role = replica
as $$
declare
  v_session constant uuid := md5('session of ' || session_of.user_id)::uuid;
begin
  -- Looked for first, because a read-only transaction inserts nothing.
  if not exists (select from auth.sessions s where s.id = v_session) then
    insert into auth.sessions (id, user_id, aal, created_at, updated_at)
    select v_session, u.id, 'aal1', now() - interval '1 day', now() - interval '1 day'
    from auth.users u where u.id = session_of.user_id;
  end if;
  return v_session;
end;
$$;

-- As PostgREST for a request: sets claims and role for this transaction.
create or replace function tests.act_as(email text, role text default 'authenticated')
  returns void
  language plpgsql
as $$
declare
  v_user constant uuid := tests.user_id(email);
begin
  perform set_config(
    'request.jwt.claims',
    json_strip_nulls(json_build_object(
      'sub', v_user,
      'role', role,
      'session_id', case when role = 'authenticated' then tests.session_of(v_user) end
    ))::text,
    true
  );
  perform set_config('role', role, true);
end;
$$;

-- A session as Supabase Auth makes one at a sign-in.
create or replace function tests.create_session(email text, age interval default '0')
  returns uuid
  language sql
as $$
  insert into auth.sessions (id, user_id, aal, created_at, updated_at)
  values (gen_random_uuid(), tests.user_id(email), 'aal1', now() - age, now() - age)
  returning id;
$$;

-- tests.act_as with a token of that session.
create or replace function tests.act_in(
  email text,
  session_id uuid,
  role text default 'authenticated'
)
  returns void
  language plpgsql
as $$
begin
  perform tests.act_as(email, role);
  perform set_config(
    'request.jwt.claims',
    (current_setting('request.jwt.claims')::jsonb || jsonb_build_object('session_id', session_id))
      ::text,
    true
  );
end;
$$;

-- A text with the form of an encrypted field, but without a valid content.
create or replace function tests.ciphertext(word text)
  returns text
  language sql
as $$ select 'bw1.a256gcm.' || repeat('A', 22) || '.' || rpad(word, 120, 'A'); $$;

-- An activated factor, and what a session has proven with it, without the function.
create or replace function tests.add_factor(email text)
  returns void
  language sql
as $$
  insert into bulwark.mfa_secrets
    (id, user_id, name, secret, begun_in, begun_as_first, activated_at)
  values (gen_random_uuid(), tests.user_id(email), 'phone', tests.ciphertext('secret'),
    gen_random_uuid(), true, now());
$$;
create or replace function tests.verify_session(
  email text, age interval default '0', session uuid default null
)
  returns void
  language sql
as $$
  insert into bulwark_private.mfa_sessions (session_id, user_id, verified_at, method)
  values (coalesce(session, tests.session_of(tests.user_id(email))), tests.user_id(email),
    clock_timestamp() - age, 'totp')
  on conflict (session_id) do update set verified_at = excluded.verified_at;
$$;

-- Whether all capabilities are installed. Lists that name what each capability has leave out what a
-- smaller installation lacks, and nothing here.
create or replace function tests.is_complete()
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array_position(array[
    to_regclass('bulwark.api_keys'), to_regclass('bulwark_private.alert_rules'),
    to_regclass('bulwark.webhook_endpoints')
  ], null) is null;
$$;

-- Whether a list should have this function or table.
create or replace function tests.is_expected(name text)
  returns boolean
  language sql
  stable
as $$
  select tests.is_complete()
    or case when name ~ '\(' then to_regprocedure(name) is not null
      else num_nonnulls(to_regclass(name), to_regproc(name)) > 0
    end;
$$;

create or replace function tests.act_as_role(role text)
  returns void
  language plpgsql
as $$
begin
  perform set_config('request.jwt.claims', json_build_object('role', role)::text, true);
  perform set_config('role', role, true);
end;
$$;

create or replace function tests.act_as_owner()
  returns void
  language plpgsql
as $$
begin
  perform set_config('request.jwt.claims', '', true);
  perform set_config('role', 'none', true);
end;
$$;

-- "SQLSTATE DETAIL" of what a statement raises, for the role that the test acts as. A detail that
-- is not one of our codes is left out: Postgres puts row contents there.
create or replace function tests.error(statement text)
  returns text
  language plpgsql
as $$
declare
  v_detail text;
begin
  execute statement;
  return 'no error';
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  return concat_ws(' ', sqlstate, substring(v_detail from '^[A-Z][A-Z_]+$'));
end;
$$;

-- One assertion about a statement: 'no error', or "SQLSTATE DETAIL" of what it raises.
create or replace function tests.error_is(claim text, expected text, statement text)
  returns text
  language sql
as $$ select is(tests.error(statement), expected, claim); $$;

-- For a role that may not even reach pgTAP: act, then come back and say what happened.
create or replace function tests.error_as(email text, role text, statement text)
  returns text
  language plpgsql
as $$
declare
  v_error text;
begin
  perform tests.act_as(email, role);
  v_error := tests.error(statement);
  perform tests.act_as_owner();
  return v_error;
end;
$$;

-- Two organizations, always: acme and globex, each with somebody in every role.
create or replace function tests.create_organizations()
  returns void
  language plpgsql
as $$
declare
  v_organization text;
  v_role text;
begin
  perform tests.create_user('super@bulwark.test');
  perform tests.create_user('stranger@bulwark.test');
  perform bulwark.grant_role(tests.user_id('super@bulwark.test'), 'super_admin');
  foreach v_organization in array array['acme', 'globex'] loop
    perform tests.create_user('admin@' || v_organization || '.test');
    perform bulwark.create_organization(
      initcap(v_organization), v_organization, tests.user_id('admin@' || v_organization || '.test')
    );
    foreach v_role in array array['analyst', 'viewer', 'api_user'] loop
      perform tests.create_user(v_role || '@' || v_organization || '.test');
      perform bulwark.grant_role(
        tests.user_id(v_role || '@' || v_organization || '.test'), v_role,
        tests.organization_id(v_organization)
      );
    end loop;
  end loop;
end;
$$;

-- Removes the organizations of a project in use, for a test of what is possible only without any.
create or replace function tests.without_organizations()
  returns void
  language plpgsql
as $$
begin
  perform bulwark.delete_organization(o.id, o.slug) from bulwark.organizations o;
end;
$$;

-- The role that API keys run as: authenticator may take it, here the tests may as well.
grant api_key to postgres;
grant usage on schema tests to public;
grant execute on all functions in schema tests to public;

select plan(2);
select is(
  tests.error($$ select 1 / 0 $$), '22012', 'HELP-01: tests.error() names the SQLSTATE of an error'
);
select is(
  tests.error($$ select 1 $$), 'no error', 'HELP-02: tests.error() says when there is none'
);
select * from finish();
commit;
