-- 00_foundation: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: gone: do $$
-- By hand: new: do $$
-- The role api_key exists already: only the way it is created changed.
create or replace function bulwark_private.setting(name text)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
declare
  v_value jsonb;
begin
  select s.value into v_value from bulwark.settings s where s.name = setting.name;
  if not found then
    raise exception 'Cannot read setting: % does not exist', left(setting.name, 64)
      using errcode = 'invalid_parameter_value', detail = 'UNKNOWN_SETTING',
        hint = 'List them with: select name from bulwark.settings';
  end if;
  return v_value;
end;
$$;
create or replace function bulwark_private.uuid_or_null(value text)
  returns uuid
  language plpgsql
  immutable
  strict
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Every request comes here, and a regular expression would cost five times as much.
  return case
    when value like '________-____-____-____-____________'
      and translate(value, '0123456789abcdefABCDEF', '') = '----'
    then value::uuid
  end;
end;
$$;
create or replace function bulwark.keep_columns()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_column text;
begin
  foreach v_column in array tg_argv loop
    if not to_jsonb(old) ? v_column then
      raise exception 'Cannot keep column: % has no column %', tg_table_name, v_column
        using errcode = 'undefined_column', detail = 'COLUMN_IS_UNKNOWN',
          hint = 'Make the trigger again with columns that the table has';
    end if;
    if to_jsonb(new) -> v_column is distinct from to_jsonb(old) -> v_column then
      raise exception 'Cannot change %.%: it is fixed once the row exists', tg_table_name, v_column
        using errcode = 'check_violation', detail = 'COLUMN_IS_FIXED',
          hint = 'Delete the row and insert another one';
    end if;
  end loop;
  return new;
end;
$$;
create view bulwark_private.unexpired_sessions with (security_invoker = true) as
  select s.id, s.user_id, s.created_at, s.aal::text as aal, s.factor_id
  from auth.sessions s
  where s.not_after is null or s.not_after > now();
comment on view bulwark_private.unexpired_sessions is
  'The sessions that are neither signed out nor expired, those of suspended accounts among them.';
create or replace view bulwark_private.live_sessions with (security_invoker = true) as
  select s.id, s.user_id, s.created_at, s.aal, s.factor_id
  from bulwark_private.unexpired_sessions s
  join auth.users u on u.id = s.user_id
  where u.deleted_at is null
    and (u.banned_until is null or u.banned_until <= now());
create or replace function bulwark.current_person()
  returns uuid
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  parallel safe
  security definer            -- definer because clients may not read sessions
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_claims constant json := bulwark_private.claims();
  v_claimed constant text := v_claims ->> 'session_id';
  v_session constant uuid := bulwark_private.uuid_or_null(v_claimed);
  v_user constant uuid := bulwark_private.uuid_or_null(v_claims ->> 'sub');
begin
  -- A request with an API key is no person, even if its token names one.
  if v_user is null or current_setting('role') = 'api_key' then
    return null;
  end if;
  if v_claimed is not null then
    return (
      select s.user_id
      from bulwark_private.live_sessions s
      where s.id = v_session and s.user_id = v_user
    );
  end if;
  if bulwark_private.setting('sessions.accept_tokens_without_session') = 'true' then
    return (
      select u.id
      from auth.users u
      where u.id = v_user
        and u.deleted_at is null
        and (u.banned_until is null or u.banned_until <= now())
    );
  end if;
  return null;
end;
$$;
create or replace function bulwark_private.require_user()
  returns uuid
  language plpgsql
  stable
  parallel safe
  security definer            -- definer because clients may not read sessions and accounts
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_person constant uuid := bulwark.current_person();
begin
  if v_person is not null then
    return v_person;
  end if;
  perform bulwark_private.require_subject();
  if exists (
    select from auth.users u
    where u.id = bulwark_private.claimed_id('sub')
      and (u.deleted_at is not null or u.banned_until > now())
      and (
        bulwark_private.claims() ->> 'session_id' is null
        or exists (
          select from auth.sessions s
          where s.id = bulwark_private.claimed_id('session_id') and s.user_id = u.id
        )
      )
  ) then
    raise exception 'Cannot proceed: the account is suspended'
      using errcode = 'insufficient_privilege', detail = 'ACCOUNT_SUSPENDED',
        hint = 'The operator of the application can lift the ban';
  end if;
  raise exception 'Cannot proceed: the session has ended, or the token names none of the user''s'
    using errcode = 'PT401', detail = 'SESSION_ENDED', hint = 'Sign in again';
end;
$$;
create table bulwark_private.setting_rules (
  name text primary key references bulwark.settings (name) on delete cascade,
  accepts jsonb not null
);
comment on table bulwark_private.setting_rules is
  'The settings that bulwark.set_setting changes, and the values that each accepts, as a JSON
   Schema. Not audited: only migrations write it.';
alter table bulwark_private.setting_rules enable row level security;
create function bulwark_private.schema_accepts(schema jsonb, value jsonb)
  returns boolean
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_number numeric;
  v_type constant text := schema ->> 'type';
begin
  if v_type in ('integer', 'number') and jsonb_typeof(value) = 'number' then
    v_number := value::numeric;
    return (v_type = 'number' or v_number = trunc(v_number))
      and v_number >= (schema -> 'minimum')::numeric
      and v_number <= (schema -> 'maximum')::numeric;
  elsif v_type = 'string' and jsonb_typeof(value) = 'string' then
    return value #>> '{}' ~ (schema ->> 'pattern');
  elsif v_type = 'array' and jsonb_typeof(value) = 'array' then
    return jsonb_array_length(value) >= (schema -> 'minItems')::integer
      and jsonb_array_length(value) <= (schema -> 'maxItems')::integer
      and not exists (
        select from jsonb_array_elements(value) as i (item)
        where not bulwark_private.schema_accepts(schema -> 'items', i.item)
      );
  end if;
  return coalesce(v_type = 'boolean' and jsonb_typeof(value) = 'boolean', false);
end;
$$;
comment on function bulwark_private.schema_accepts(jsonb, jsonb) is
  'Whether a JSON Schema of a rule accepts a value: a boolean, an integer or number from minimum to
   maximum, a string of a pattern, or an array of minItems to maxItems items. False for null.';
revoke all on table bulwark_private.unexpired_sessions from public;
revoke all on table bulwark_private.unexpired_sessions from anon;
revoke all on table bulwark_private.unexpired_sessions from authenticated;
revoke all on table bulwark_private.unexpired_sessions from service_role;
revoke all on table bulwark_private.setting_rules from public;
revoke all on table bulwark_private.setting_rules from anon;
revoke all on table bulwark_private.setting_rules from authenticated;
revoke all on table bulwark_private.setting_rules from service_role;
revoke all on function bulwark_private.schema_accepts(schema jsonb, value jsonb) from public;
revoke all on function bulwark_private.schema_accepts(schema jsonb, value jsonb) from anon;
revoke all on function bulwark_private.schema_accepts(schema jsonb, value jsonb) from authenticated;
revoke all on function bulwark_private.schema_accepts(schema jsonb, value jsonb) from service_role;
