-- Foundation: what every capability of Bulwark stands on.
-- Protects against internals being callable from outside: schema private is reachable by name only
-- for the few helpers that policies and functions are granted, and the Data API never exposes it.
-- No function here is SECURITY DEFINER.

create schema private;
comment on schema private is
  'Internals and secrets of Bulwark. Never add it to the exposed schemas of the Data API.';
revoke all on schema private from public, anon, authenticated, service_role;
-- Policies run their helpers as the querying role, which therefore has to reach them.
grant usage on schema private to authenticated, service_role;

-- A program is not a person (API keys run as this role), so it is no member of authenticated and
-- inherits nothing from it. Roles belong to the cluster, not to the database: it may exist already.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'api_key') then
    create role api_key nologin noinherit;
  end if;
end;
$$;
grant api_key to authenticator;

create table private.settings (
  name text primary key,
  value jsonb not null,
  description text not null
);
comment on table private.settings is
  'What an installation can choose, one row each; migrations add rows, operators change values.';
alter table private.settings enable row level security;

create function private.setting(name text)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_value jsonb;
begin
  select s.value into v_value from private.settings s where s.name = setting.name;
  if not found then
    raise exception 'Cannot read setting: % does not exist', left(setting.name, 64)
      using errcode = 'invalid_parameter_value', detail = 'UNKNOWN_SETTING';
  end if;
  return v_value;
end;
$$;
comment on function private.setting(text) is
  'The value of one setting; a name that does not exist is an error, never a default.';

-- The role GUC keeps naming the API role inside SECURITY DEFINER functions, where current_user is
-- the owner. Claims are not asked: whoever can run SQL can write them.
create function private.caller_role()
  returns text
  language sql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(nullif(pg_catalog.current_setting('role'), 'none'), session_user::text);
$$;
comment on function private.caller_role() is
  'The database role the request runs as, also inside SECURITY DEFINER functions.';

create function private.caller_is_service()
  returns boolean
  language sql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select private.caller_role() in ('service_role', 'postgres', 'supabase_admin');
$$;
comment on function private.caller_is_service() is
  'True for the operator (service role, migrations, scheduled jobs), false for every client.';

create function private.keep_columns()
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
        using errcode = 'undefined_column', detail = 'COLUMN_IS_UNKNOWN';
    end if;
    if to_jsonb(new) -> v_column is distinct from to_jsonb(old) -> v_column then
      raise exception 'Cannot change %.%: it is fixed once the row exists', tg_table_name, v_column
        using errcode = 'check_violation', detail = 'COLUMN_IS_FIXED';
    end if;
  end loop;
  return new;
end;
$$;
comment on function private.keep_columns() is
  'Trigger: refuses a change of the columns named as arguments. Host tables may use it too:
   a row''s organization_id, for one, must never change.';

create function private.touch_updated_at()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  new.updated_at := now();
  return new;
end;
$$;
comment on function private.touch_updated_at() is 'Trigger: updated_at is the time of the change.';

-- Both extensions are optional: a project without them calls the same functions from elsewhere.
create function private.schedule_job(name text, schedule text, command text)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_seconds constant integer := (substring(schedule from '^([0-9]+) seconds$'))::integer;
  v_version integer[];
begin
  select string_to_array(substring(e.extversion from '^[0-9.]+'), '.')::integer[] into v_version
  from pg_catalog.pg_extension e where e.extname = 'pg_cron';
  if not found then
    return false;
  end if;
  perform cron.schedule(
    name,
    -- It takes 1 to 59 seconds, and before 1.5 minutes alone.
    case
      when v_seconds > 59 or v_seconds is not null and v_version < '{1,5}' then '* * * * *'
      else schedule
    end,
    command
  );
  return true;
end;
$$;
comment on function private.schedule_job(text, text, text) is
  'Has pg_cron run a command, as whoever calls this, on a schedule (crontab, or ''n seconds'', which
   is each minute where it cannot be had); false where pg_cron is not installed.';

-- The secret is read when it is sent, so that no job's text and no run log holds it.
create function private.request_function(path text, timeout_milliseconds integer default 20000)
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_request bigint;
  v_secret text;
  v_url text;
begin
  -- Dynamic: neither extension has to be there for the migration to apply.
  execute format(
    $query$
      select
        max(s.decrypted_secret) filter (where s.name = 'bulwark_project_url'),
        max(s.decrypted_secret) filter (where s.name = 'bulwark_scheduler_secret')
      from %I.decrypted_secrets s
    $query$,
    'vault'
  )
  into v_url, v_secret;
  if v_url is null or v_secret is null then
    raise exception 'Cannot call the function: Vault lacks the project''s URL or the secret'
      using errcode = 'object_not_in_prerequisite_state',
            detail = 'SCHEDULER_NOT_CONFIGURED',
            hint = 'Create the secrets bulwark_project_url and bulwark_scheduler_secret';
  end if;
  execute format(
    $query$
      select %I.http_post(
        url => $1, body => '{}'::jsonb, headers => $2, timeout_milliseconds => $3
      )
    $query$,
    'net'
  )
  into v_request
  using rtrim(v_url, '/') || '/functions/v1/' || path,
    jsonb_build_object(
      'content-type', 'application/json', 'authorization', 'Bearer ' || v_secret
    ),
    timeout_milliseconds;
  return v_request;
end;
$$;
comment on function private.request_function(text, integer) is
  'Posts to an edge function by pg_net, as the scheduler, with the address and the secret that Vault
   holds as bulwark_project_url and bulwark_scheduler_secret. Returns the request''s id. Errors:
   SCHEDULER_NOT_CONFIGURED.';

revoke all on function private.setting(text),
  private.caller_role(),
  private.caller_is_service(),
  private.keep_columns(),
  private.touch_updated_at(),
  private.schedule_job(text, text, text),
  private.request_function(text, integer)
  from public, anon, authenticated, service_role;
