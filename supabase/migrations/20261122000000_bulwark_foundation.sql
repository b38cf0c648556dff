-- Built by npm run build from supabase/schemas/00_foundation: edit the sources, not this file.

-- Preflight: stops before anything is created if the project has objects that Bulwark would have to
-- take over.
-- Protects against half an installation, and against adopting a role that belongs to somebody else.

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
    -- Roles belong to the cluster, so api_key may exist from an earlier installation.
    select 'role api_key exists and has rights of its own'
    from pg_catalog.pg_roles r
    where r.rolname = 'api_key'
      and (r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb
        or r.rolreplication
        or exists (select from pg_catalog.pg_auth_members m where m.member = r.oid))
    union all
    -- Since Postgres 16 granting a role needs the admin option on it.
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
    -- bulwark.install_request_hook keeps and calls the host's hook; it must have no arguments.
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

-- Jobs: scheduled work. pg_cron runs it, and pg_net calls edge functions. The local stack has
-- neither and reads the same table.
-- Protects the scheduler's secret: it is read from Vault when it is sent, so no job text and no run
-- log contains it.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as the role that scheduled them.

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
  'The scheduled jobs, one row each. Call bulwark.schedule_jobs() after a change.';
comment on column bulwark_private.jobs.seconds_setting is
  'The setting that holds the interval in seconds, for jobs whose interval can be configured.';
comment on column bulwark_private.jobs.local_every is
  'A shorter interval for the local stack; null: the same interval as elsewhere.';
comment on column bulwark_private.jobs.function_path is
  'The edge function that the command calls through pg_net. Without pg_net the job is not scheduled;
   the local stack calls the function itself.';
create index jobs_seconds_setting_idx on bulwark_private.jobs (seconds_setting);
alter table bulwark_private.jobs enable row level security;

create function bulwark_private.crontab(job text, seconds integer)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    -- pg_cron accepts 1 to 59 seconds since version 1.5, before that only minutes.
    when seconds < 60 and exists (
      select from pg_catalog.pg_extension e
      where e.extname = 'pg_cron'
        and string_to_array(substring(e.extversion from '^[0-9.]+'), '.')::integer[] >= '{1,5}'
    ) then format('%s seconds', seconds)
    when seconds < 120 then '* * * * *'
    when seconds < 3600 then format('*/%s * * * *', seconds / 60)
    -- Each job has a minute of its own, so that they do not all run at once.
    when seconds < 86400 then format('%s */%s * * *', m.minute, seconds / 3600)
    else format('%s 3 * * *', m.minute)
  end
  from (select abs(hashtext(job) % 60)) as m (minute);
$$;
comment on function bulwark_private.crontab(text, integer) is
  'An interval in seconds as a pg_cron schedule, rounded down: to seconds if pg_cron supports them,
   minutes, hours or one day.';

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
  'Schedules every job of bulwark_private.jobs with pg_cron, as the calling role (postgres), and
   unschedules other jobs of Bulwark. Jobs that call an edge function need pg_net. Returns false if
   pg_cron is not installed. Call it again after installing either extension or changing an
   interval; repeating it is safe.';

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
  'Deletes the run log of Bulwark''s jobs after a day, because a job that runs each second would
   fill it. Returns how many entries.';

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
  -- Dynamic SQL, so that the migration applies without these extensions.
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
  'Posts to an edge function through pg_net, as the scheduler. Vault holds the URL and the secret as
   bulwark_project_url and bulwark_scheduler_secret. Returns the request''s id. Errors:
   SCHEDULER_NOT_CONFIGURED.';

-- Policies: creating, listing and dropping policies on tables of the host. The prefix of their
-- names tells which ones are Bulwark's.
-- Protects nothing by itself: MFA-required tables and tables that admit API keys use it.
-- No function here is SECURITY DEFINER.

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
  'Creates a policy, with the expressions that its command supports. The expressions are SQL and
   must come from Postgres or a migration, never from a caller.';

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
    -- Ordered by name, because a restored dump has another order.
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
  'The present policies of a table whose names begin with the prefix.';

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
  'Drops the policies of a table whose names begin with the prefix.';

create function bulwark_private.is_of_bulwark(target regclass)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_catalog.pg_class c
    where c.oid = target
      and c.relnamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
  );
$$;
comment on function bulwark_private.is_of_bulwark(regclass) is
  'Whether a table is one of Bulwark''s own.';

-- Sessions: who is calling. A token stays valid until it expires, even after a sign-out. So its
-- user counts as the caller only while the session is live.
-- Protects against a token that outlives a sign-out, that names another user's session or none, or
-- that Supabase Auth did not issue: its subject may be no UUID, its claims may not fit into jsonb.
-- SECURITY DEFINER: current_person and require_user, because clients may not read sessions and
--   accounts.

insert into bulwark.settings (name, value, description) values
  ('sessions.accept_tokens_without_session', 'false',
    'Whether a token that names no session, such as one of third-party auth, acts for its subject;
     such tokens cannot be ended before they expire');

-- The one definition of a live session. Time-boxes and inactivity timeouts of Supabase Auth are not
-- in these tables: Auth applies them when the session is refreshed.
create view bulwark_private.unexpired_sessions with (security_invoker = true) as
  select s.id, s.user_id, s.created_at, s.aal::text as aal, s.factor_id
  from auth.sessions s
  where s.not_after is null or s.not_after > now();
comment on view bulwark_private.unexpired_sessions is
  'The sessions that are neither signed out nor expired, those of suspended accounts among them.';

create view bulwark_private.live_sessions with (security_invoker = true) as
  select s.id, s.user_id, s.created_at, s.aal, s.factor_id
  from bulwark_private.unexpired_sessions s
  join auth.users u on u.id = s.user_id
  where u.deleted_at is null
    and (u.banned_until is null or u.banned_until <= now());
comment on view bulwark_private.live_sessions is
  'The sessions that are neither signed out nor expired, of accounts neither banned nor deleted.';

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
  -- JSON with \u0000 or half a surrogate pair is valid, but reading any claim of it would fail. The
  -- type is json because a number may be larger than jsonb can hold.
  if position('\u' in v_claims) > 0 then
    v_claims := regexp_replace(v_claims, '\\u(0000|[Dd][89A-Fa-f][0-9A-Fa-f]{2})', '\\ufffd', 'g');
  end if;
  return v_claims::json;
end;
$$;
comment on function bulwark_private.claims() is
  'The claims of the request''s token; null without a token. All functions read claims through it.';

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
  'A claim of the request''s token as a UUID; null if it is missing or no UUID. The object it names
   may not exist.';

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
comment on function bulwark.current_person() is
  'The user who is calling, in a live session of theirs. Null if nobody is signed in, for an API
   key, an ended session and a suspended account. Write it in policies as
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
      using errcode = 'insufficient_privilege', detail = 'ACCOUNT_SUSPENDED',
        hint = 'The operator of the application can lift the ban';
  end if;
  raise exception 'Cannot proceed: the session has ended, or the token names none of the user''s'
    using errcode = 'PT401', detail = 'SESSION_ENDED', hint = 'Sign in again';
end;
$$;
comment on function bulwark_private.require_user() is
  'The user who is calling. Raises RBAC_NOT_AUTHENTICATED, TOKEN_SUBJECT_INVALID, SESSION_ENDED or
   ACCOUNT_SUSPENDED.';

create function bulwark_private.require_subject()
  returns void
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- An API key is no user, even if its token names one.
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
  'Raises RBAC_NOT_AUTHENTICATED if the request''s token names no subject, and TOKEN_SUBJECT_INVALID
   if the subject is no UUID.';

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
  -- The account first, in the order of its deletion. The lock on the session is not shared: a
  -- series of shared locks could keep a sign-out waiting for ever.
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
  'Makes a sign-out wait until commit, so that everything the caller creates precedes it. Raises the
   errors of bulwark_private.require_user if the sign-out came first. Every function that writes for
   a user calls it, after the locks of rights.';

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
  'Raises the errors of bulwark_private.require_user, unless the service role is calling. Functions
   that would otherwise answer "there is none that you may see" call it first.';

create function bulwark_private.require_named_account(user_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Through jsonb, because older versions of Supabase Auth lack the column.
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
  'Raises ACCOUNT_ANONYMOUS for an anonymous account, which has no way to sign in again.';

-- Version: which capabilities of Bulwark are installed, and in which version.
-- Protects against an upgrade that starts from another version than the one that is there.
-- SECURITY DEFINER: version, installed_capabilities, because API roles read no table of
-- bulwark_private.

create table bulwark_private.capabilities (
  name text primary key,
  version text not null
);
comment on table bulwark_private.capabilities is
  'The installed capabilities, one row each. Every migration of one inserts its row, every upgrade
   sets the version of all. Not audited: only migrations write it.';
alter table bulwark_private.capabilities enable row level security;

create function bulwark.version()
  returns text
  language sql
  stable
  security definer            -- definer because API roles read no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select c.version from bulwark_private.capabilities c where c.name = 'foundation';
$$;
comment on function bulwark.version() is
  'The version of Bulwark in this database, such as 0.1.0 or 0.1.0-alpha.1 (service role only).';

create function bulwark.installed_capabilities()
  returns table (capability text, version text)
  language sql
  stable
  security definer            -- definer because API roles read no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select c.name, c.version from bulwark_private.capabilities c order by c.name;
$$;
comment on function bulwark.installed_capabilities() is
  'The installed capabilities by name, each with its version (service role only).';

-- Setting rules: the settings that administrators may change, and the values that each accepts.
-- Protects against a setting that fails every request, and against administrators who change what
-- binds them too: a setting without a rule is changed only by the owner of the database.
-- No function here is SECURITY DEFINER.

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

revoke all on table
  bulwark.settings,
  bulwark_private.jobs,
  bulwark_private.unexpired_sessions,
  bulwark_private.live_sessions,
  bulwark_private.capabilities,
  bulwark_private.setting_rules
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
  bulwark_private.is_of_bulwark(target regclass),
  bulwark_private.claims(),
  bulwark_private.claimed_id(claim text),
  bulwark.current_person(),
  bulwark_private.require_user(),
  bulwark_private.require_subject(),
  bulwark_private.hold_session(),
  bulwark_private.require_caller(),
  bulwark_private.require_named_account(user_id uuid),
  bulwark.version(),
  bulwark.installed_capabilities(),
  bulwark_private.schema_accepts(schema jsonb, value jsonb)
  from public, anon, authenticated, service_role;

-- Grants of foundation. The build revokes everything else.

-- Everybody may look names up; each table and function has grants of its own.
grant usage on schema bulwark to anon, authenticated, service_role, supabase_auth_admin;

-- Policies call their helpers as the querying role, and the token hook its parts as Supabase Auth.
grant usage on schema bulwark_private to authenticated, service_role, supabase_auth_admin;

grant execute on function bulwark.current_person() to authenticated;

grant execute on function bulwark.version(), bulwark.installed_capabilities() to service_role;

insert into bulwark_private.capabilities values ('foundation', '0.1.0');
