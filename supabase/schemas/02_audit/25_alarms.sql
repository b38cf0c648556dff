-- Audit alarms: what the log reports about itself while nobody looks, and how it is doing when
-- somebody asks.
-- Protects against checkpoints that quietly stop and against a log that nobody verifies: it is read
-- through again and again, in steps.
-- SECURITY DEFINER: check_audit_log, audit_status, because seals and guards are for no client;
--   report_checkpoint_problem, because not even the service role writes what the log says of
--   itself.

insert into bulwark.settings (name, value, description) values
  ('audit.checkpoint_interval_seconds', '60',
    'How often the tree head is signed; three missed in a row are reported');

create table bulwark_private.audit_check_progress (
  only_row boolean primary key default true check (only_row),
  after_seal bigint not null default 0,
  reported text[] not null default '{}',
  overdue_checkpoint bigint
);
comment on table bulwark_private.audit_check_progress is
  'Up to which seal the log has read itself through in this round, and what was reported last, so
   that each is reported once: findings, and the size of the checkpoint whose successor is overdue
   (null: none is). Not audited: it moves with every look.';
insert into bulwark_private.audit_check_progress default values;
alter table bulwark_private.audit_check_progress enable row level security;

create function bulwark_private.raise_audit_alarm(action text, resource_type text, details jsonb)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.append_audit_entry(
    'system.error', resource_type => raise_audit_alarm.resource_type,
    action => raise_audit_alarm.action, severity => 'critical', result => 'failure',
    details => raise_audit_alarm.details
  );
  perform bulwark.raise_security_event(
    'audit_' || action, null, null, raise_audit_alarm.resource_type, raise_audit_alarm.details
  );
end;
$$;
comment on function bulwark_private.raise_audit_alarm(text, text, jsonb) is
  'What has to reach a person: a critical entry of the installation''s own, and the security event
   audit_ and the action. Every alarm of the log comes through here.';

create function bulwark_private.report_missing_checkpoint()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_interval constant interval := make_interval(
    secs => (bulwark_private.setting('audit.checkpoint_interval_seconds'))::integer
  );
  v_last bulwark.audit_checkpoints;
  v_overdue bigint;
  v_reported bigint;
  v_waiting timestamptz;
begin
  select * into v_last from bulwark.audit_checkpoints c order by c.tree_size desc limit 1;
  -- Where no key was ever known, checkpoints are not set up: audit_status says so, no alarm does.
  -- Where one is known and no checkpoint is here, they were taken away.
  if v_last.tree_size is null and not exists (select from bulwark.audit_keys) then
    return;
  end if;
  select s.sealed_at into v_waiting
  from bulwark_private.audit_seals s where s.number = coalesce(v_last.tree_size, 0) + 1;
  if v_waiting < now() - 3 * v_interval then
    v_overdue := coalesce(v_last.tree_size, 0);
  end if;
  -- Not told by the log's entries: what was reported is known here alone.
  select p.overdue_checkpoint into v_reported from bulwark_private.audit_check_progress p;
  if v_overdue is not distinct from v_reported then
    return;
  end if;
  update bulwark_private.audit_check_progress p set overdue_checkpoint = v_overdue;
  if v_overdue is not null then
    perform bulwark_private.raise_audit_alarm(
      'checkpoint_missing', 'bulwark.audit_checkpoints',
      jsonb_build_object('tree_size', v_overdue, 'waiting_since', v_waiting)
    );
  end if;
end;
$$;
comment on function bulwark_private.report_missing_checkpoint() is
  'Raises an alarm, once for each checkpoint, that its successor is overdue.';

create function bulwark.report_checkpoint_problem(action text, details jsonb default '{}')
  returns void
  language plpgsql
  volatile
  security definer            -- definer because the service role writes nothing of the log's own
  set search_path = pg_catalog, pg_temp
as $$
begin
  if (action in ('checkpoint_refused', 'checkpoint_forged', 'checkpoints_missing')) is not true
    or jsonb_typeof(details) is distinct from 'object' or octet_length(details::text) > 4096 then
    raise exception 'Cannot report checkpoint problem: there is no such problem'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_CHECKPOINT_PROBLEM';
  end if;
  perform bulwark_private.append_audit_entry(
    'system.error', resource_type => 'bulwark.audit_checkpoints',
    action => report_checkpoint_problem.action, severity => 'critical', result => 'failure',
    details => report_checkpoint_problem.details
  );
end;
$$;
comment on function bulwark.report_checkpoint_problem(text, jsonb) is
  'Records that a checkpoint was refused, forged or is gone, as a critical entry, which a security
   rule makes an event. For the function that signs, as the service role: only it sees signatures
   and the sink. Errors: AUDIT_INVALID_CHECKPOINT_PROBLEM.';

create function bulwark.check_audit_log(max_entries integer default 1000000)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because progress and seals are for no client
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_finding text;
  v_progress bulwark_private.audit_check_progress;
  v_verdict record;
begin
  -- A second run waits, and goes on where this one stopped.
  select * into v_progress from bulwark_private.audit_check_progress p for update;
  select * into v_verdict from bulwark_private.verify_audit_log(
    null, null, null, v_progress.after_seal, max_entries, 5
  );
  -- A verdict names its first finding only, so one more behind it is told by how many there are:
  -- else who had altered one entry could alter all that follow unreported.
  if v_verdict.problem is not null then
    v_finding := concat_ws(
      ' ', v_verdict.problem, v_verdict.seal, v_verdict.entry, v_verdict.problems,
      case when v_verdict.problem <> 'entry_unsealed' then v_verdict.detail end
    );
  end if;
  if v_finding is not null and v_finding <> all (v_progress.reported) then
    perform bulwark_private.raise_audit_alarm(
      'verification_failed', 'bulwark.audit_logs', to_jsonb(v_verdict)
    );
  end if;
  update bulwark_private.audit_check_progress p
  set after_seal = coalesce(v_verdict.next_after_seal, 0),
      reported = case
        when v_finding is not null and v_finding <> all (p.reported)
        then (v_finding || p.reported)[1:100]
        else p.reported
      end;
  return v_verdict.intact and v_verdict.complete;
end;
$$;
comment on function bulwark.check_audit_log(integer) is
  'Verifies the next part of the log, from the beginning again after the end, and raises an alarm,
   once for each finding. Returns whether the part is as it was sealed. For the scheduler and the
   service role. Errors: AUDIT_INVALID_LIMIT.';

create function bulwark.audit_status()
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because seals and guards are for no client
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_checkpoint bulwark.audit_checkpoints;
  v_seal bulwark_private.audit_seals;
begin
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_audit('system:monitor', null);
  end if;
  select * into v_seal from bulwark_private.audit_seals s order by s.number desc limit 1;
  select * into v_checkpoint from bulwark.audit_checkpoints c order by c.tree_size desc limit 1;
  return jsonb_build_object(
    'era', (select max(e.era) from bulwark_private.audit_eras e),
    'settled', bulwark_private.audit_log_is_settled(),
    'restore_problems', (
      select coalesce(jsonb_agg(distinct concat_ws(' ', p.problem, p.object, p.grantee)), '[]')
      from bulwark_private.restore_problems() p
    ),
    'last_seal', v_seal.number,
    'sealed_at', v_seal.sealed_at,
    'overdue_entries', (select u.entries from bulwark_private.audit_unsealed(true, null) u),
    'checkpoint_size', v_checkpoint.tree_size,
    'checkpoint_at', v_checkpoint.signed_at,
    'undelivered_checkpoints', (
      select count(*) from bulwark.audit_checkpoints c where c.delivered_at is null
    ),
    'gaps', (select count(*) from bulwark_private.audit_gaps),
    'guarded_tables', (select count(*) from bulwark_private.audit_guards g where g.captures),
    'touched_guards', (
      select coalesce(jsonb_agg(g.relation::text order by g.relation::text), '[]')
      from bulwark_private.audit_guards g
      where g.fingerprint is distinct from bulwark_private.audit_fingerprint(g.relation)
    )
  );
end;
$$;
comment on function bulwark.audit_status() is
  'How the log is doing: seals, overdue entries, checkpoints, deliveries, gaps, guards, and what a
   restore did not bring back or left open (settled is false until the first seal after it). For the
   service role and a super_admin. Errors: RBAC_PERMISSION_DENIED.';
