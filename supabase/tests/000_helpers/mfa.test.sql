-- Helpers for MFA: sessions by name, factors, and attempts as the function makes them: the caller
-- begins, the service role completes. A time step stands for its code, which is not computed.
-- This file commits, like the other helpers.
begin;
set local search_path = bulwark, public, extensions;
create schema if not exists tests;
-- They use the temporary tables session (name, id, email) and begun of a test.
set local check_function_bodies = off;

create or replace function tests.mfa_sessions() returns void language plpgsql as $$
begin
  create temporary table session as
    select name, tests.create_session(email, age) as id, email
    from (values
      ('ada', 'admin@acme.test', interval '0'), ('ada 2', 'admin@acme.test', '0'),
      ('old', 'analyst@acme.test', '11 minutes'), ('vic', 'viewer@acme.test', '0'),
      ('vic 2', 'viewer@acme.test', '0')
    ) as s (name, email, age);
  create temporary table begun (name text, factor uuid);
  grant all on session, begun to public;
end;
$$;
create or replace function tests.act_in_session(name text) returns void language sql as $$
  select tests.act_in(s.email, s.id) from session s where s.name = act_in_session.name;
$$;
create or replace function tests.totp_step(n integer default 0) returns bigint language sql as $$
  select floor(extract(epoch from clock_timestamp()) / 30)::bigint + n;
$$;
create or replace function tests.code_hashes(word text) returns text[] language sql as $$
  select array_agg(encode(sha256((word || n)::bytea), 'hex')) from generate_series(1, 10) as n;
$$;
-- Begins as a session and completes as the function does.
create or replace function tests.mfa_attempt(name text, purpose text) returns uuid
language plpgsql as $$
declare
  v_attempt uuid;
begin
  perform tests.act_in_session(name);
  v_attempt := bulwark.begin_mfa_attempt(purpose);
  perform tests.act_as_role('service_role');
  return v_attempt;
end;
$$;
create or replace function tests.mfa_enroll(name text, factor_name text default 'phone')
  returns boolean language plpgsql as $$
declare
  v_factor uuid;
  v_stored boolean;
begin
  perform tests.act_in_session(name);
  v_factor := (select b.factor_id from bulwark.begin_mfa_enrolment() b);
  perform tests.act_as_role('service_role');
  v_stored := bulwark.store_mfa_secret(
    v_factor, tests.ciphertext('of_' || replace(name, ' ', '_') || '_'), factor_name
  );
  delete from begun b where b.name = mfa_enroll.name;
  insert into begun values (name, v_factor);
  return v_stored;
end;
$$;
create or replace function tests.mfa_factor(name text) returns uuid language sql as $$
  select b.factor from begun b where b.name = mfa_factor.name;
$$;
create or replace function tests.mfa_activate(name text, step bigint, factor_of text default null)
  returns jsonb language plpgsql as $$
declare
  v_attempt uuid := tests.mfa_attempt(name, 'activate');
begin
  return bulwark.complete_mfa_activation(
    v_attempt, tests.mfa_factor(coalesce(factor_of, name)), step, tests.code_hashes(name)
  );
end;
$$;
create or replace function tests.mfa_verify(name text, factor_of text, step bigint) returns jsonb
language plpgsql as $$
declare
  v_attempt uuid := tests.mfa_attempt(name, 'verify');
begin
  return bulwark.complete_mfa_verification(v_attempt, tests.mfa_factor(factor_of), step);
end;
$$;
create or replace function tests.mfa_backup(
  name text, word text, purpose text default 'backup_code'
)
  returns jsonb language plpgsql as $$
declare
  v_attempt uuid := tests.mfa_attempt(name, purpose);
begin
  return bulwark.complete_mfa_backup_code(v_attempt, encode(sha256(word::bytea), 'hex'));
end;
$$;
create or replace function tests.mfa_open(name text, purpose text) returns text[]
language plpgsql as $$
declare
  v_attempt uuid := tests.mfa_attempt(name, purpose);
begin
  return (select array_agg(o.secret) from bulwark.open_mfa_attempt(v_attempt) o);
end;
$$;
grant execute on all functions in schema tests to public;

select plan(1);
select ok(
  tests.totp_step(1) - tests.totp_step() in (1, 2), 'HELP-06: a time step follows the one before'
);
select * from finish();
commit;
