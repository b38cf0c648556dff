-- Foundation: schemas, settings and helpers that every capability uses.
-- Protects internals from being called from outside: the Data API never exposes schema
-- bulwark_private, and API roles may execute only the few helpers in it that policies need.
-- No function here is SECURITY DEFINER.

create schema bulwark;
comment on schema bulwark is
  'The part of Bulwark that clients, policies and operators use. Add it to the exposed schemas of
   the Data API.';
revoke all on schema bulwark from public;

create schema bulwark_private;
comment on schema bulwark_private is
  'Internals and secrets of Bulwark. Never add it to the exposed schemas of the Data API.';
revoke all on schema bulwark_private from public, anon, authenticated, service_role;

-- API keys run as this role. It is no member of authenticated, so that a program gets no right of a
-- person's. Roles belong to the cluster, not to the database: it may exist already, or be created
-- for another database at the same time.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'api_key') then
    create role api_key nologin noinherit;
  end if;
exception
  when duplicate_object or unique_violation then null;
end;
$$;
grant api_key to authenticator;

create table bulwark.settings (
  name text primary key,
  value jsonb not null,
  description text not null
);
comment on table bulwark.settings is
  'The settings of the installation, one row each. Migrations add rows, operators change values.';
alter table bulwark.settings enable row level security;

-- The audit log and rate limits read them.
insert into bulwark.settings (name, value, description) values
  ('rate_limits.address_header', 'null',
    'Header to which the trusted proxies write the client''s address; null: none is trusted'),
  ('rate_limits.address_hops', '1',
    'Number of trusted proxies that append to that header; the address is counted from its end');

-- A malformed setting would fail every request, so it cannot be stored.
alter table bulwark.settings
  -- squawk-ignore constraint-missing-not-valid
  add constraint settings_rate_limits_addresses check (
    case name
      when 'rate_limits.address_header' then
        value = 'null' or jsonb_typeof(value) = 'string' and value #>> '{}' ~ '^[A-Za-z0-9-]{1,64}$'
      when 'rate_limits.address_hops' then value between '1' and '20'
      else true
    end
  );

create function bulwark_private.setting(name text)
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
comment on function bulwark_private.setting(text) is
  'The value of a setting. Errors: UNKNOWN_SETTING, never a default.';

create function bulwark_private.quote_qualified(name text)
  returns text
  language plpgsql            -- not sql: an sql function is planned anew at every call
  stable
  strict
  set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select string_agg(quote_ident(p.part), '.' order by p.place)
    from unnest(parse_ident(quote_qualified.name)) with ordinality as p (part, place)
  );
end;
$$;
comment on function bulwark_private.quote_qualified(text) is
  'A name such as schema.function, quoted for a statement; null for null. Raises 22023 for an
   invalid name.';

-- Inside a SECURITY DEFINER function current_user is the owner, but the setting role still names
-- the API role. Claims do not decide it: everybody who can run SQL can set them.
create function bulwark_private.caller_role()
  returns text
  language plpgsql            -- not sql: an sql function is planned anew at every call
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(nullif(current_setting('role'), 'none'), session_user::text);
end;
$$;
comment on function bulwark_private.caller_role() is
  'The database role the request runs as, also inside SECURITY DEFINER functions.';

create function bulwark_private.caller_is_service()
  returns boolean
  language plpgsql            -- not sql: an sql function is planned anew at every call
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.caller_role() in ('service_role', 'postgres', 'supabase_admin');
end;
$$;
comment on function bulwark_private.caller_is_service() is
  'True for the operator (service role, migrations, scheduled jobs), false for all others.';

create function bulwark_private.uuid_or_null(value text)
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
comment on function bulwark_private.uuid_or_null(text) is
  'The text as a UUID; null if it is none, so that a malformed claim does not make a write fail.';

create function bulwark_private.lasts_up_to(duration interval, longest interval)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- Compared as timestamps: as intervals, a month always counts as 30 days.
  select coalesce(now() + duration between now() and now() + longest, false);
$$;
comment on function bulwark_private.lasts_up_to(interval, interval) is
  'Whether a duration that begins now is at most the longest. False for a negative duration, and if
   either is null.';

create function bulwark_private.object_name(parts text[], suffix text)
  returns name
  language plpgsql
  immutable
  strict
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hash text := '';
  v_stem text := array_to_string(parts, '_');
begin
  -- Postgres cuts names to 63 bytes, so two long names can collide. So can joined parts: a_b and c,
  -- a and b_c.
  if cardinality(parts) > 1 or octet_length(v_stem || suffix) > 63 then
    v_hash := '_' || left(encode(sha256(convert_to(to_json(parts)::text, 'UTF8')), 'hex'), 12);
    while octet_length(v_stem || v_hash || suffix) > 63 loop
      v_stem := left(v_stem, -1);
    end loop;
  end if;
  return v_stem || v_hash || suffix;
end;
$$;
comment on function bulwark_private.object_name(text[], text) is
  'A unique name for a generated object (a constraint, an index): the one part and the suffix if
   they fit into 63 bytes, otherwise with a hash of all parts.';

create function bulwark.keep_columns()
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
comment on function bulwark.keep_columns() is
  'Trigger: refuses changes of the columns named as arguments. Host tables may use it too, for
   example for organization_id. Errors: COLUMN_IS_FIXED, COLUMN_IS_UNKNOWN.';

create function bulwark_private.touch_updated_at()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  new.updated_at := now();
  return new;
end;
$$;
comment on function bulwark_private.touch_updated_at() is
  'Trigger: sets updated_at to the transaction''s start.';
