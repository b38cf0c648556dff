-- Built by npm run build from supabase/schemas/00_foundation: edit the sources, not this file.

-- Preflight: looks for whatever this project has already that Bulwark would have to take over, and
-- stops before anything is made.
-- Protects against half an installation, and against taking somebody else's role for ours.

do $$
declare
  v_conflicts text[];
begin
  select array_agg(c.conflict order by c.conflict) into v_conflicts
  from (
    select format('schema %s exists', n.nspname)
    from pg_catalog.pg_namespace n
    where n.nspname in ('bulwark', 'bulwark_private')
    union all
    select format('role %s does not exist: this is no Supabase project', r.name)
    from unnest('{anon, authenticated, service_role, authenticator, supabase_auth_admin}'::text[])
      as r (name)
    where r.name not in (select p.rolname from pg_catalog.pg_roles p)
    union all
    -- API keys run as that role. Roles belong to the cluster, so it may be there from before.
    select 'role api_key exists and has rights of its own'
    from pg_catalog.pg_roles r
    where r.rolname = 'api_key'
      and (r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb
        or r.rolreplication
        or exists (select from pg_catalog.pg_auth_members m where m.member = r.oid))
    union all
    -- Since Postgres 16 a role grants only what it made or was given to pass on.
    select format('role api_key exists and %s may not grant it to authenticator', current_user)
    from pg_catalog.pg_roles r
    where r.rolname = 'api_key'
      and current_setting('server_version_num')::integer >= 160000
      and not pg_has_role(r.oid, 'member with admin option')
      and not exists (
        select from pg_catalog.pg_auth_members m
        where m.roleid = r.oid and m.member = to_regrole('authenticator')
      )
    union all
    -- The hook that is there is kept and called (bulwark.install_request_hook), if it can be.
    select format('the pre-request hook %s is no function without arguments', h.name)
    from (
      select substring(s.setting from '=(.*)$')
      from pg_catalog.pg_db_role_setting d
      cross join unnest(d.setconfig) as s (setting)
      where d.setrole = to_regrole('authenticator')
        and d.setdatabase in (
          0, (select b.oid from pg_catalog.pg_database b where b.datname = current_database())
        )
        and s.setting ~ '^pgrst\.db_pre_request=.'
    ) as h (name)
    where to_regprocedure(h.name || '()') is null
  ) as c (conflict);
  if v_conflicts is not null then
    raise exception 'Cannot install Bulwark: %', array_to_string(v_conflicts, '; ')
      using hint = 'Nothing was changed. Rename what is yours, or remove what is left of an earlier
        installation, and push again';
  end if;
end;
$$;

-- Foundation: what every capability of Bulwark stands on.
-- Protects against internals being callable from outside: schema bulwark_private is reachable by
-- name only for the few helpers that policies and functions are granted, and the Data API never
-- exposes it. No function here is SECURITY DEFINER.

create schema bulwark;
comment on schema bulwark is
  'What clients, policies and operators use of Bulwark. Add it to the exposed schemas of the Data
   API.';
revoke all on schema bulwark from public;

create schema bulwark_private;
comment on schema bulwark_private is
  'Internals and secrets of Bulwark. Never add it to the exposed schemas of the Data API.';
revoke all on schema bulwark_private from public, anon, authenticated, service_role;

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

create table bulwark.settings (
  name text primary key,
  value jsonb not null,
  description text not null
);
comment on table bulwark.settings is
  'What an installation can choose, one row each; migrations add rows, operators change values.';
alter table bulwark.settings enable row level security;

create function bulwark_private.setting(name text)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_value jsonb;
begin
  select s.value into v_value from bulwark.settings s where s.name = setting.name;
  if not found then
    raise exception 'Cannot read setting: % does not exist', left(setting.name, 64)
      using errcode = 'invalid_parameter_value', detail = 'UNKNOWN_SETTING';
  end if;
  return v_value;
end;
$$;
comment on function bulwark_private.setting(text) is
  'The value of one setting; a name that does not exist is an error, never a default.';

create function bulwark_private.quote_qualified(name text)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select string_agg(quote_ident(p.part), '.' order by p.place)
  from unnest(parse_ident(quote_qualified.name)) with ordinality as p (part, place);
$$;
comment on function bulwark_private.quote_qualified(text) is
  'A name such as schema.function as it may stand in a statement. Raises 22023 for what is no
   name.';

-- The role GUC keeps naming the API role inside SECURITY DEFINER functions, where current_user is
-- the owner. Claims are not asked: whoever can run SQL can write them.
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
  'True for the operator (service role, migrations, scheduled jobs), false for every client.';

create function bulwark_private.uuid_or_null(value text)
  returns uuid
  language plpgsql
  immutable
  strict
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    then value::uuid
  end;
end;
$$;
comment on function bulwark_private.uuid_or_null(text) is
  'The text as a UUID, or null: what a request claims must never make a write fail.';

create function bulwark_private.lasts_up_to(duration interval, longest interval)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- As moments: among intervals a month is 30 days, and a hundred years are not.
  select coalesce(now() + duration between now() and now() + longest, false);
$$;
comment on function bulwark_private.lasts_up_to(interval, interval) is
  'Whether what begins now and lasts so long has lasted no longer than the other when it ends. False
   for a negative duration and where either is null.';

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
  -- Postgres cuts what is longer than 63 bytes, and two that are cut alike are one. Several parts
  -- can also be joined alike: a_b and c, a and b_c.
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
  'The name of an object that is made for others (a column''s constraint, a table''s index): as it
   reads where it is one part and fits, else with a hash of all parts. Every maker of names uses
   it.';

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
comment on function bulwark.keep_columns() is
  'Trigger: refuses a change of the columns named as arguments. Host tables may use it too:
   a row''s organization_id, for one, must never change.';

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
  'Trigger: updated_at is the time of the change.';

-- Jobs: what runs with nobody calling, by pg_cron and, where it needs a function, by pg_net. The
-- local stack, which has neither, reads the same table.
-- Protects the scheduler's secret: it is read from Vault when it is sent, so that no job's text and
-- no run log holds it.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as whoever scheduled them.

create table bulwark_private.jobs (
  name text primary key check (name ~ '^[a-z]+(-[a-z]+)*$'),
  every interval check (every between '1 second' and '1 day'),
  seconds_setting text references bulwark.settings (name),
  local_every interval check (local_every between '1 second' and '1 day'),
  command text not null,
  function_path text,
  check (num_nonnulls(every, seconds_setting) = 1)
);
comment on table bulwark_private.jobs is
  'What runs with nobody calling, one row each. After a change: bulwark.schedule_jobs().';
comment on column bulwark_private.jobs.seconds_setting is
  'The setting that says how often, in seconds, where that can be chosen.';
comment on column bulwark_private.jobs.local_every is
  'How often in the local stack, where nobody likes to wait; null: as often as anywhere.';
comment on column bulwark_private.jobs.function_path is
  'The edge function that the command asks by pg_net: without pg_net the job is not scheduled, and
   the local stack asks the function itself.';
create index jobs_seconds_setting_idx on bulwark_private.jobs (seconds_setting);
alter table bulwark_private.jobs enable row level security;

create function bulwark_private.crontab(job text, seconds integer)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    -- pg_cron takes 1 to 59 seconds since version 1.5, and before that minutes alone.
    when seconds < 60 and exists (
      select from pg_catalog.pg_extension e
      where e.extname = 'pg_cron'
        and string_to_array(substring(e.extversion from '^[0-9.]+'), '.')::integer[] >= '{1,5}'
    ) then format('%s seconds', seconds)
    when seconds < 120 then '* * * * *'
    when seconds < 3600 then format('*/%s * * * *', seconds / 60)
    -- Not everything at once: a minute of its own for each.
    when seconds < 86400 then format('%s */%s * * *', m.minute, seconds / 3600)
    else format('%s 3 * * *', m.minute)
  end
  from (select abs(hashtext(job) % 60)) as m (minute);
$$;
comment on function bulwark_private.crontab(text, integer) is
  'About every so many seconds, as pg_cron wants it: seconds where it can, whole minutes, whole
   hours or once a day.';

create function bulwark.schedule_jobs()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pg_catalog.pg_extension e where e.extname = 'pg_cron') then
    return false;
  end if;
  perform cron.unschedule(j.jobid)
  from cron.job j
  where j.jobname like 'bulwark-%' and j.username = current_user
    and not exists (
      select from bulwark_private.jobs b
      where 'bulwark-' || b.name = j.jobname
        and (b.function_path is null or to_regproc('net.http_post') is not null)
    );
  perform cron.schedule(
    'bulwark-' || b.name,
    bulwark_private.crontab(b.name, coalesce(
      extract(epoch from b.every)::integer,
      (bulwark_private.setting(b.seconds_setting))::integer
    )),
    b.command
  )
  from bulwark_private.jobs b
  where b.function_path is null or to_regproc('net.http_post') is not null;
  return true;
end;
$$;
comment on function bulwark.schedule_jobs() is
  'Has pg_cron run every job of bulwark_private.jobs, as whoever calls this (postgres), and no other
   of Bulwark''s: those that ask an edge function only where pg_net is installed. False where
   pg_cron is not. Call it again after installing either and after changing how often a job runs; it
   may be repeated.';

create function bulwark_private.cleanup_job_log()
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_deleted bigint;
begin
  if to_regclass('cron.job_run_details') is null then
    return 0;
  end if;
  delete from cron.job_run_details d
  using cron.job j
  where j.jobid = d.jobid
    and j.jobname like 'bulwark-%'
    and d.end_time < now() - interval '1 day';
  get diagnostics v_deleted = row_count;
  return v_deleted;
end;
$$;
comment on function bulwark_private.cleanup_job_log() is
  'Removes the entries of the scheduler''s log about our jobs that are older than a day: a job that
   runs each second fills it within days.';

insert into bulwark_private.jobs (name, every, command) values
  ('job-log', '1 hour', 'select bulwark_private.cleanup_job_log()');

create function bulwark_private.request_function(
  path text, timeout_milliseconds integer default 20000
)
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
comment on function bulwark_private.request_function(text, integer) is
  'Posts to an edge function by pg_net, as the scheduler, with the address and the secret that Vault
   holds as bulwark_project_url and bulwark_scheduler_secret. Returns the request''s id. Errors:
   SCHEDULER_NOT_CONFIGURED.';

-- Policies: what writes guards of tables of the host, and knows them again.
-- Protects nothing by itself: MFA's guards and the tables that admit API keys are made of these.
-- No function here is SECURITY DEFINER.

-- Guards of tables are policies that Bulwark writes and knows again by how their names begin.
create function bulwark_private.make_policy(
  target regclass,
  name text,
  permissive boolean,
  command text,
  roles name[],
  using_expression text,
  check_expression text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  execute format(
    'create policy %I on %s as %s for %s to %s %s %s',
    name, target, case when permissive then 'permissive' else 'restrictive' end,
    case command
      when 'select' then 'select' when 'insert' then 'insert' when 'update' then 'update'
      when 'delete' then 'delete' else 'all'
    end,
    (select string_agg(quote_ident(r), ', ') from unnest(roles) as r),
    case
      when command <> 'insert' and using_expression is not null
      then format('using (%s)', using_expression)
    end,
    case
      when command not in ('select', 'delete') and check_expression is not null
      then format('with check (%s)', check_expression)
    end
  );
end;
$$;
comment on function bulwark_private.make_policy(
  regclass, text, boolean, text, name[], text, text
) is
  'One policy of a table, with those of the two expressions that its command has. The expressions
   are SQL: Postgres'' own or a migration''s, never a caller''s.';

create function bulwark_private.policies_of(target regclass, prefix text)
  returns table (
    name text, permissive boolean, command text, roles text, using_expression text,
    check_expression text
  )
  language sql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
  select
    p.polname::text, p.polpermissive,
    case p.polcmd
      when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
      else 'all'
    end,
    -- In order of name: a restored dump has them in another.
    (
      select string_agg(m.role::regrole::text, ', ' order by m.role::regrole::text collate "C")
      from unnest(p.polroles) as m (role)
    ),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
  from pg_catalog.pg_policy p
  where p.polrelid = target and starts_with(p.polname::text, prefix)
  order by p.polname;
$$;
comment on function bulwark_private.policies_of(regclass, text) is
  'The policies of a table whose names begin so, as they are now.';

create function bulwark_private.drop_policies(target regclass, prefix text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy text;
begin
  for v_policy in select p.name from bulwark_private.policies_of(target, prefix) p loop
    execute format('drop policy %I on %s', v_policy, target);
  end loop;
end;
$$;
comment on function bulwark_private.drop_policies(regclass, text) is
  'Drops the policies of a table whose names begin so.';

-- Sessions: who is calling. A token is valid until it expires, also when its session has ended, so
-- whoever it names counts only while that session lives.
-- Protects against a token that outlives a sign-out, that names another person's session or none,
-- and that is not Supabase Auth's: its subject need not be a UUID, its claims need not fit jsonb.
-- SECURITY DEFINER, each because clients may not read sessions and accounts: current_person,
--   require_user, both of bulwark_private.

insert into bulwark.settings (name, value, description) values
  ('sessions.accept_tokens_without_session', 'false',
    'Whether a token that names no session, such as one of third-party auth, acts for its subject;
     such tokens cannot be ended before they expire');

-- The one definition of a session that lives. Time-boxes and inactivity time-outs of Supabase Auth
-- are not in these tables: Auth applies them when the session is refreshed.
create view bulwark_private.live_sessions with (security_invoker = true) as
  select s.id, s.user_id, s.created_at, s.aal::text as aal, s.factor_id
  from auth.sessions s
  join auth.users u on u.id = s.user_id
  where (s.not_after is null or s.not_after > now())
    and u.deleted_at is null
    and (u.banned_until is null or u.banned_until <= now());
comment on view bulwark_private.live_sessions is
  'The sessions that count right now: not signed out, not run out, of an account neither banned nor
   deleted.';

create function bulwark_private.claims()
  returns json
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims text := nullif(current_setting('request.jwt.claims', true), '');
begin
  -- A text with \u0000 or half a surrogate pair is JSON, but no claim could be read beside it. As
  -- json and not jsonb, because a number may be larger than jsonb holds.
  if position('\u' in v_claims) > 0 then
    v_claims := regexp_replace(v_claims, '\\u(0000|[Dd][89A-Fa-f][0-9A-Fa-f]{2})', '\\ufffd', 'g');
  end if;
  return v_claims::json;
end;
$$;
comment on function bulwark_private.claims() is
  'The claims of the request''s token; null where there is none. Everything that reads a claim reads
   it here.';

create function bulwark_private.claimed_id(claim text)
  returns uuid
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.uuid_or_null(bulwark_private.claims() ->> claim);
end;
$$;
comment on function bulwark_private.claimed_id(text) is
  'A claim of the request''s token as a UUID, whether what it names exists or not; null where the
   claim is missing or no UUID.';

create function bulwark.current_person()
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
  v_user constant uuid := bulwark_private.uuid_or_null(v_claims ->> 'sub');
begin
  -- A program is no person, whomever its token names beside the key.
  if v_user is null or current_setting('role') = 'api_key' then
    return null;
  end if;
  if v_claims ->> 'session_id' is not null then
    return (
      select s.user_id
      from bulwark_private.live_sessions s
      where s.id = bulwark_private.uuid_or_null(v_claims ->> 'session_id') and s.user_id = v_user
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
comment on function bulwark.current_person() is
  'The person who is calling, in a session of theirs that lives; null for everybody else: nobody
   signed in, a program, a session that ended, a suspended account. In a policy always as
   (select bulwark.current_person()).';

create function bulwark_private.require_user()
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
      using errcode = 'insufficient_privilege', detail = 'ACCOUNT_SUSPENDED';
  end if;
  raise exception 'Cannot proceed: the session has ended, or the token names none of the user''s'
    using errcode = 'PT401', detail = 'SESSION_ENDED', hint = 'Sign in again';
end;
$$;
comment on function bulwark_private.require_user() is
  'The person who is calling. Raises RBAC_NOT_AUTHENTICATED where there is none,
   TOKEN_SUBJECT_INVALID, SESSION_ENDED, ACCOUNT_SUSPENDED.';

create function bulwark_private.require_subject()
  returns void
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- An API key is nobody, whatever its token says.
  if coalesce(bulwark_private.claims() ->> 'sub', '') = ''
    or current_setting('role') = 'api_key' then
    raise exception 'Cannot identify the caller: the request carries no user'
      using errcode = 'insufficient_privilege', detail = 'RBAC_NOT_AUTHENTICATED',
            hint = 'Sign in first';
  end if;
  if bulwark_private.claimed_id('sub') is null then
    raise exception 'Cannot identify the caller: the token''s subject is no UUID'
      using errcode = 'insufficient_privilege', detail = 'TOKEN_SUBJECT_INVALID',
            hint = 'People are accounts of Supabase Auth, and their ids are UUIDs';
  end if;
end;
$$;
comment on function bulwark_private.require_subject() is
  'Raises RBAC_NOT_AUTHENTICATED where the request''s token names nobody, and TOKEN_SUBJECT_INVALID
   where it names no account.';

create function bulwark_private.hold_session()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant uuid := bulwark_private.claimed_id('session_id');
  v_user constant uuid := bulwark_private.claimed_id('sub');
begin
  if v_session is null or bulwark_private.caller_is_service() then
    return;
  end if;
  -- The account first, as its deletion does. The session not shared: of many who share a row in
  -- turn a sign-out would wait for ever.
  perform from auth.users u where u.id = v_user for key share;
  perform from auth.sessions s
  where s.id = v_session and s.user_id = v_user
  for no key update;
  if not found then
    perform bulwark_private.require_user();
  end if;
end;
$$;
comment on function bulwark_private.hold_session() is
  'Until commit a sign-out waits: what the caller makes is from before it. Raises what
   bulwark_private.require_user raises where the sign-out was first. Every function that makes,
   changes or ends something for a person calls it, behind the locks of rights.';

create function bulwark_private.require_caller()
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_user();
  end if;
end;
$$;
comment on function bulwark_private.require_caller() is
  'Raises what bulwark_private.require_user raises, unless the service role is calling. First of all
   in a function that answers "there is none that you may see".';

create function bulwark_private.require_named_account(user_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Through jsonb, because Supabase Auth before anonymous sign-ins has no such column.
  if (
    select (to_jsonb(u) -> 'is_anonymous') = 'true'
    from auth.users u where u.id = require_named_account.user_id
  ) then
    raise exception 'Cannot proceed: the account is anonymous'
      using errcode = 'insufficient_privilege', detail = 'ACCOUNT_ANONYMOUS',
            hint = 'Add an e-mail address or another way to sign in first';
  end if;
end;
$$;
comment on function bulwark_private.require_named_account(uuid) is
  'Raises ACCOUNT_ANONYMOUS for an account without a way to sign in again.';

revoke all on table
  bulwark.settings,
  bulwark_private.jobs,
  bulwark_private.live_sessions
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark_private.setting(name text),
  bulwark_private.quote_qualified(name text),
  bulwark_private.caller_role(),
  bulwark_private.caller_is_service(),
  bulwark_private.uuid_or_null(value text),
  bulwark_private.lasts_up_to(duration interval, longest interval),
  bulwark_private.object_name(parts text[], suffix text),
  bulwark.keep_columns(),
  bulwark_private.touch_updated_at(),
  bulwark_private.crontab(job text, seconds integer),
  bulwark.schedule_jobs(),
  bulwark_private.cleanup_job_log(),
  bulwark_private.request_function(path text, timeout_milliseconds integer),
  bulwark_private.make_policy(target regclass, name text, permissive boolean, command text, roles name[], using_expression text, check_expression text),
  bulwark_private.policies_of(target regclass, prefix text),
  bulwark_private.drop_policies(target regclass, prefix text),
  bulwark_private.claims(),
  bulwark_private.claimed_id(claim text),
  bulwark.current_person(),
  bulwark_private.require_user(),
  bulwark_private.require_subject(),
  bulwark_private.hold_session(),
  bulwark_private.require_caller(),
  bulwark_private.require_named_account(user_id uuid)
  from public, anon, authenticated, service_role;

-- What is open to whom of foundation. Everything else is revoked by the build.

-- Anybody may look a name up: each table and function says for whom it is.
grant usage on schema bulwark to anon, authenticated, service_role, supabase_auth_admin;

-- Policies run their helpers as the querying role, which therefore has to reach them.
grant usage on schema bulwark_private to authenticated, service_role;

grant execute on function bulwark.current_person() to authenticated;
