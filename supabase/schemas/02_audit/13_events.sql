-- Audit events: reported by clients and functions, and sign-ins seen on the auth schema.
-- Protects against a client that reports as somebody else, for a foreign organization, or in the
-- categories that serve as evidence; and against a sign-in that fails because of the log.
-- SECURITY DEFINER: log_audit_event, audit_auth and user_roles_report_lost_administrator, because
--   neither clients nor Supabase Auth may write the log.

insert into bulwark.settings (name, value, description) values
  ('audit.auth_entries', '100',
    'Maximum number of organizations that get an entry of a sign-in or account change of a member');

create table bulwark_private.audit_gaps (
  id bigint generated always as identity primary key,
  noticed_at timestamptz not null default clock_timestamp(),
  source text not null,
  reason text not null
);
comment on table bulwark_private.audit_gaps is
  'Events of the auth schema that could not be recorded, because a sign-in must not fail for the
   log: the place and the SQLSTATE. Verification counts them.';
alter table bulwark_private.audit_gaps enable row level security;

create function bulwark_private.is_audit_evidence(event_type text, action text)
  returns boolean
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select event_type = 'compliance.data_deleted'
    or coalesce(action, '') = any ('{
      administrator_lost, checkpoint_forged, checkpoint_missing, checkpoint_refused,
      checkpoints_missing, export_audit_log, fork, partition_missing, restore_mended,
      stamp_replaced, timeline_started, verification_failed, watched_object_changed,
      watched_object_dropped
    }');
$$;
comment on function bulwark_private.is_audit_evidence(text, text) is
  'Whether an event is one that the log records about itself (source system), which nobody may
   report. A new action of the log is added here.';

create function bulwark.log_audit_event(
  event_type text,
  action text default null,
  organization_id uuid default null,
  resource_type text default null,
  resource_id text default null,
  result bulwark.audit_result default 'success',
  severity bulwark.audit_severity default null,
  details jsonb default null,
  parent_id uuid default null,
  actor_id uuid default null
)
  returns uuid
  language plpgsql
  volatile
  security definer            -- definer because clients may not write the log
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_service constant boolean := bulwark_private.caller_is_service();
  v_text text;
begin
  if event_type is null or result is null then
    raise exception 'Cannot log event: the type or the result is null'
      using errcode = 'null_value_not_allowed', detail = 'AUDIT_NULL_ARGUMENT';
  end if;
  foreach v_text in array array[action, resource_type, resource_id] loop
    if v_text = '' or length(v_text) > 256 or v_text ~ '[[:cntrl:]]' then
      raise exception 'Cannot log event: action and resource have 1 to 256 printable characters'
        using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_TEXT';
    end if;
  end loop;
  if jsonb_typeof(details) <> 'object' then
    raise exception 'Cannot log event: the details are not a JSON object'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_DETAILS';
  end if;
  if octet_length(details::text) > 16384 then
    raise exception 'Cannot log event: the details have % bytes, at most 16384 are allowed',
      octet_length(details::text)
      using errcode = 'PT413', detail = 'AUDIT_DETAILS_TOO_LARGE';
  end if;
  if bulwark_private.is_audit_evidence(event_type, action) then
    raise exception 'Cannot log event: only the audit log itself records it'
      using errcode = 'insufficient_privilege', detail = 'AUDIT_EVENT_NOT_REPORTABLE',
        hint = 'Report an event type of your own, or another one of audit_event_types';
  end if;
  if not v_service then
    if bulwark_private.require_user() is distinct
      from coalesce(actor_id, bulwark.current_person()) then
      raise exception 'Cannot log event: one reports one''s own acts only'
        using errcode = 'insufficient_privilege', detail = 'AUDIT_ACTOR_NOT_YOU',
          hint = 'Leave actor_id out; the service role reports for others';
    end if;
    if exists (
      select from bulwark.audit_event_types t
      where t.name = log_audit_event.event_type and not t.reported_by_clients
    ) then
      raise exception 'Cannot log event: % is not reported by clients', event_type
        using errcode = 'insufficient_privilege', detail = 'AUDIT_EVENT_NOT_REPORTABLE',
          hint = 'The service role reports it; reported_by_clients of the type opens it';
    end if;
    if severity is null then
      select least(t.severity, 'warning') into severity
      from bulwark.audit_event_types t where t.name = log_audit_event.event_type;
    end if;
    if severity > 'warning' then
      raise exception 'Cannot log event: a client reports up to warning'
        using errcode = 'insufficient_privilege', detail = 'AUDIT_SEVERITY_NOT_REPORTABLE',
          hint = 'Report it as warning, or with the service role';
    end if;
    if organization_id is not null and not bulwark.is_super_admin()
      and organization_id not in (select bulwark.member_organizations()) then
      raise exception 'Cannot log event: you are not a member of the organization'
        using errcode = 'insufficient_privilege', detail = 'AUDIT_NOT_A_MEMBER',
          hint = 'Name an organization of yours, or none';
    end if;
  end if;
  if parent_id is not null and not exists (
    select from bulwark.audit_logs e
    where e.id = log_audit_event.parent_id
      and e.organization_id is not distinct from log_audit_event.organization_id
      and (v_service or e.actor_id = bulwark.current_person())
  ) then
    raise exception 'Cannot log event: there is no such parent of yours'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ENTRY',
        hint = 'Name an entry of yours as parent_id, or none';
  end if;
  return bulwark_private.append_audit_entry(
    event_type => log_audit_event.event_type,
    organization_id => log_audit_event.organization_id,
    resource_type => log_audit_event.resource_type,
    resource_id => log_audit_event.resource_id,
    action => log_audit_event.action,
    result => log_audit_event.result,
    severity => log_audit_event.severity,
    details => log_audit_event.details,
    parent_id => log_audit_event.parent_id,
    source => case when v_service then 'service' else 'client' end::bulwark.audit_source,
    actor_id => case when v_service then log_audit_event.actor_id end
  );
end;
$$;
comment on function bulwark.log_audit_event(
  text, text, uuid, text, text, bulwark.audit_result, bulwark.audit_severity, jsonb, uuid, uuid
) is
  'Reports an event and returns the id of its entry. A client reports its own acts, of types open to
   clients, up to severity warning, in organizations of which it is a member. The service role
   reports everything except events that the log records about itself, also on behalf of actor_id.
   details: a JSON object of at most 16,384 bytes. Errors: AUDIT_UNKNOWN_EVENT_TYPE,
   AUDIT_EVENT_NOT_REPORTABLE, AUDIT_SEVERITY_NOT_REPORTABLE, AUDIT_ACTOR_NOT_YOU,
   AUDIT_NOT_A_MEMBER, AUDIT_UNKNOWN_ENTRY, AUDIT_INVALID_TEXT, AUDIT_INVALID_DETAILS,
   AUDIT_DETAILS_TOO_LARGE, AUDIT_NULL_ARGUMENT, RBAC_NOT_AUTHENTICATED.';

create function bulwark_private.append_auth_entry(
  event_type text,
  user_id uuid,
  resource_type text,
  resource_id text,
  action text,
  session jsonb default '{}',
  before jsonb default null,
  after jsonb default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_entry uuid;
  v_organization uuid;
  v_organizations constant uuid[] := array(
    select bulwark_private.organizations_of(
      append_auth_entry.user_id,
      -- A ban or deletion is still recorded in the organizations that lose the member.
      suspended => resource_type = 'auth.users'
        and (action = 'delete' or coalesce(after ?| '{banned_until,deleted_at}', false))
    )
  );
  v_parent uuid;
  v_told constant integer := greatest((bulwark_private.setting('audit.auth_entries'))::integer, 0);
begin
  -- One entry without an organization and, below it, one in each organization of the user, so that
  -- an organization sees the sign-ins of its members and can prove them. Their number is limited:
  -- the first entry lists the organizations without one.
  foreach v_organization in array array[null::uuid] || v_organizations[:v_told] loop
    v_entry := bulwark_private.append_audit_entry(
      event_type => append_auth_entry.event_type,
      organization_id => v_organization,
      resource_type => append_auth_entry.resource_type,
      resource_id => append_auth_entry.resource_id,
      action => append_auth_entry.action,
      result => case append_auth_entry.event_type
        when 'auth.login_failed' then 'failure' else 'success'
      end::bulwark.audit_result,
      before => append_auth_entry.before,
      after => append_auth_entry.after,
      details => case when v_parent is null and cardinality(v_organizations) > v_told then
        jsonb_build_object(
          'organizations', cardinality(v_organizations),
          'without_entry', v_organizations[v_told + 1:]
        )
      end,
      parent_id => v_parent,
      source => 'auth',
      -- Either the owner or an administrator may have changed the account: the table does not say.
      actor_id => case when resource_type <> 'auth.users' then append_auth_entry.user_id end,
      session_id => bulwark_private.uuid_or_null(session ->> 'id'),
      ip => left(session ->> 'ip', 64),
      user_agent => left(session ->> 'user_agent', 256)
    );
    v_parent := coalesce(v_parent, v_entry);
  end loop;
end;
$$;
comment on function bulwark_private.append_auth_entry(
  text, uuid, text, text, text, jsonb, jsonb, jsonb
) is
  'Records an act of a user in Supabase Auth, once for the installation and once for each
   organization of the user, up to the setting audit.auth_entries; the installation''s entry lists
   the others.';

create function bulwark_private.audit_auth()
  returns trigger
  language plpgsql
  security definer            -- definer because Supabase Auth may not write the log
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'     -- a lock on the log, by a migration say, must not block sign-ins
as $$
declare
  v_after jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  v_before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  v_event text;
  v_row jsonb := coalesce(v_after, v_before);
  v_resource text := 'auth.' || tg_table_name;
begin
  if tg_table_name = 'sessions' then
    perform bulwark_private.append_auth_entry(
      case tg_op
        when 'INSERT' then 'auth.login'
        when 'DELETE' then 'auth.logout'
        else 'auth.mfa_verified'
      end,
      (v_row ->> 'user_id')::uuid, v_resource, v_row ->> 'id', lower(tg_op), v_row
    );
  elsif tg_table_name = 'mfa_factors' then
    v_event := case
      when tg_op = 'DELETE' and v_before ->> 'status' = 'verified' then 'auth.mfa_disabled'
      when v_after ->> 'status' = 'verified'
        and v_before ->> 'status' is distinct from 'verified' then 'auth.mfa_enabled'
    end;
    if v_event is not null then
      perform bulwark_private.append_auth_entry(
        v_event, (v_row ->> 'user_id')::uuid, v_resource, v_row ->> 'id', v_row ->> 'factor_type'
      );
    end if;
  elsif tg_op <> 'UPDATE' then
    perform bulwark_private.append_auth_entry(
      case tg_op when 'INSERT' then 'data.create' else 'data.delete' end,
      (v_row ->> 'id')::uuid, v_resource, v_row ->> 'id', lower(tg_op)
    );
  else
    if v_after ->> 'encrypted_password' is distinct from v_before ->> 'encrypted_password' then
      perform bulwark_private.append_auth_entry(
        'auth.password_changed', (v_row ->> 'id')::uuid, v_resource, v_row ->> 'id', 'update'
      );
    end if;
    if v_after ->> 'recovery_sent_at' <> coalesce(v_before ->> 'recovery_sent_at', '') then
      perform bulwark_private.append_auth_entry(
        'auth.password_reset', (v_row ->> 'id')::uuid, v_resource, v_row ->> 'id', 'request'
      );
    end if;
    -- Of the other columns only those that decide about access, and never a token or a hash.
    select jsonb_object_agg(c, v_before -> c), jsonb_object_agg(c, v_after -> c)
    into v_before, v_after
    from unnest('{email, phone, banned_until, deleted_at, role, is_super_admin}'::text[]) as c
    where v_before -> c is distinct from v_after -> c;
    if v_after is not null then
      perform bulwark_private.append_auth_entry(
        'data.update', (v_row ->> 'id')::uuid, v_resource, v_row ->> 'id', 'update',
        before => v_before, after => v_after
      );
    end if;
  end if;
  return coalesce(new, old);
exception
  -- A sign-in must not fail because of the log, but the gap must be visible.
  when others then
    begin
      insert into bulwark_private.audit_gaps (source, reason)
      values (v_resource || ' ' || lower(tg_op), sqlstate);
    exception
      when others then
        raise warning 'Cannot record an event of %: %', v_resource, sqlstate;
    end;
    return coalesce(new, old);
end;
$$;
comment on function bulwark_private.audit_auth() is
  'Trigger: sign-ins, sign-outs, password, factor and account changes. Never raises: an event that
   cannot be recorded is counted in audit_gaps.';

create function bulwark_private.auth_watches()
  returns table (relation regclass, name text, event text)
  language sql
  stable
  rows 9
  set search_path = pg_catalog, pg_temp
as $$
  select to_regclass('auth.' || w.relation), 'bulwark_audit_' || w.event, w.event
  from (values
    ('users', 'insert'), ('users', 'update'), ('users', 'delete'),
    ('sessions', 'insert'), ('sessions', 'verify'), ('sessions', 'delete'),
    ('mfa_factors', 'insert'), ('mfa_factors', 'update'), ('mfa_factors', 'delete')
  ) as w (relation, event)
  where to_regclass('auth.' || w.relation) is not null;
$$;
comment on function bulwark_private.auth_watches() is
  'The triggers for the tables of the auth schema that exist.';

create function bulwark_private.watch_auth()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_watch record;
begin
  for v_watch in select * from bulwark_private.auth_watches() loop
    execute format(
      'create or replace trigger %I %s on %s for each row %s '
        'execute function bulwark_private.audit_auth()',
      v_watch.name,
      case v_watch.event
        -- Before: after the deletion the user's organizations are gone.
        when 'delete' then 'before delete'
        when 'verify' then 'after update of aal'
        when 'update' then 'after update'
        else 'after insert'
      end,
      v_watch.relation,
      case v_watch.event
        when 'verify' then 'when (new.aal = ''aal2'' and old.aal is distinct from new.aal)'
      end
    );
  end loop;
  insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
  select distinct w.relation, false, bulwark_private.audit_fingerprint(w.relation)
  from bulwark_private.auth_watches() w
  on conflict (relation) do update set fingerprint = excluded.fingerprint;
end;
$$;
comment on function bulwark_private.watch_auth() is
  'Creates the triggers on the existing tables of the auth schema. Call it again after an upgrade of
   Supabase Auth added tables. They cannot be enabled always, because the schema is not ours:
   changes under session_replication_role are not seen.';

select bulwark_private.watch_auth();

create trigger audit_gaps_refuse_change
  before update or delete on bulwark_private.audit_gaps
  for each row execute function bulwark_private.refuse_change();
create trigger audit_gaps_refuse_truncate
  before truncate on bulwark_private.audit_gaps
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark_private.audit_gaps enable always trigger audit_gaps_refuse_change;
alter table bulwark_private.audit_gaps enable always trigger audit_gaps_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
values ('bulwark_private.audit_gaps', false, bulwark_private.audit_fingerprint(
  'bulwark_private.audit_gaps'
));

-- At commit, because the organization itself may be in deletion, or another administrator may
-- follow.
create function bulwark_private.user_roles_report_lost_administrator()
  returns trigger
  language plpgsql
  security definer            -- definer because the role that commits may not write the log
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- as in user_roles_note_departures
  set jit = off
as $$
begin
  if exists (select from bulwark.organizations o where o.id = old.organization_id)
    and not exists (
      select from bulwark_private.active_grants a
      where a.organization_id = old.organization_id
        and a.role_id = old.role_id
        and a.held_until = 'infinity'
    ) then
    perform bulwark_private.append_audit_entry(
      'authz.role_removed', old.organization_id, 'bulwark.organizations',
      old.organization_id::text, 'administrator_lost', severity => 'warning'
    );
  end if;
  return null;
end;
$$;
comment on function bulwark_private.user_roles_report_lost_administrator() is
  'Trigger: records that an organization was left without an administrator, as rows of the host and
   the setting rbac.delete_last_administrators allow.';

create constraint trigger user_roles_report_lost_administrator
  after delete on bulwark.user_roles
  deferrable initially deferred
  for each row when (old.role_id = '00000000-0000-4000-8000-000000000080')
  execute function bulwark_private.user_roles_report_lost_administrator();
