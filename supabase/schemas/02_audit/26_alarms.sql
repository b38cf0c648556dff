-- Audit alarms: problems that the log reports by itself, and its status on request.
-- Protects against checkpoints that silently stop and against a log that is never verified: it
-- verifies itself continuously, in steps.
-- SECURITY DEFINER: check_audit_log, audit_status, because no client can read seals and audited
--   tables; report_checkpoint_problem, because not even the service role writes entries of the log
--   about itself.

insert into bulwark.settings (name, value, description) values
  ('audit.checkpoint_interval_seconds', '60',
    'Interval of checkpoints; an alarm is raised after three missed in a row');

create table bulwark_private.audit_check_progress (
  only_row boolean primary key default true check (only_row),
  after_seal bigint not null default 0,
  reported text[] not null default '{}',
  overdue_checkpoint bigint,
  late_reported_at timestamptz,
  checked_at timestamptz,
  pass_began_at timestamptz,
  passed_at timestamptz,
  problem_at timestamptz
);
comment on table bulwark_private.audit_check_progress is
  'Progress of the log''s verification of itself, and the findings reported so far, so that each is
   reported once; also the size of the checkpoint whose successor is overdue (null: none), and when
   entries outside of the open partitions were reported. Not audited: it changes with every run.';
comment on column bulwark_private.audit_check_progress.passed_at is
  'When the last pass over the whole log without a problem ended; checked_at: when a part was last
   verified; problem_at: when a part last had a problem.';
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
  'Raises an alarm: a critical entry of the installation and the security event audit_<action>.
   Every alarm of the log goes through here.';

create function bulwark_private.audit_unsigned_since()
  returns timestamptz
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_last bulwark.audit_checkpoints;
begin
  select * into v_last from bulwark.audit_checkpoints c order by c.tree_size desc limit 1;
  -- Without any known key checkpoints are not set up; audit_status says so, without an alarm. With
  -- a known key and no checkpoint, checkpoints were deleted.
  if v_last.tree_size is null and not exists (select from bulwark.audit_keys) then
    return null;
  end if;
  return (
    -- A seal that continues another has its time, and may be younger than the checkpoint.
    select case
      when p.through is null then s.sealed_at else greatest(s.sealed_at, v_last.signed_at)
    end
    from bulwark_private.audit_seals s
    left join bulwark_private.audit_seals p on p.number = s.number - 1
    where s.number = coalesce(v_last.tree_size, 0) + 1
  );
end;
$$;
comment on function bulwark_private.audit_unsigned_since() is
  'Since when the oldest seal without a signature waits for it; null: none does, or checkpoints are
   not set up.';

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
  v_overdue bigint;
  v_reported bigint;
  v_waiting constant timestamptz := bulwark_private.audit_unsigned_since();
begin
  if v_waiting < now() - 3 * v_interval then
    select coalesce(max(c.tree_size), 0) into v_overdue from bulwark.audit_checkpoints c;
  end if;
  -- From the table, not from entries, which others can write.
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
  'Raises an alarm, once for each checkpoint, when the next one is overdue.';

create function bulwark_private.report_late_entries(snapshot pg_snapshot)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
  v_first uuid;
  v_last uuid;
begin
  if not exists (select from bulwark_private.audit_late_entries) then
    return;
  end if;
  with sealed as (
    delete from bulwark_private.audit_late_entries l
    where pg_visible_in_snapshot(l.xid, report_late_entries.snapshot)
    returning l.id
  )
  select count(*), (array_agg(s.id order by s.id))[1], (array_agg(s.id order by s.id desc))[1]
  into v_count, v_first, v_last
  from sealed s;
  if v_count = 0 then
    return;
  end if;
  update bulwark_private.audit_check_progress p set late_reported_at = now()
  where p.late_reported_at is null or p.late_reported_at < now() - interval '1 hour';
  if found then
    perform bulwark_private.append_audit_entry(
      'system.error', resource_type => 'bulwark.audit_logs', action => 'partition_missing',
      severity => 'critical', result => 'failure',
      details => jsonb_build_object('entries', v_count, 'first', v_first, 'last', v_last)
    );
  end if;
end;
$$;
comment on function bulwark_private.report_late_entries(pg_snapshot) is
  'Records, at most once an hour, that entries were written into no partition of the present: the
   clock was wrong, or the job that makes partitions does not run. They are sealed like all
   others.';

create function bulwark.report_checkpoint_problem(action text, details jsonb default '{}')
  returns void
  language plpgsql
  volatile
  security definer            -- definer because the service role may not write such entries
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
  'Records that a checkpoint was refused, forged or is missing, as a critical entry, which a rule
   turns into a security event. Called by the function that signs, as the service role: only it sees
   signatures and the sink. Errors: AUDIT_INVALID_CHECKPOINT_PROBLEM.';

create function bulwark.check_audit_log(max_entries integer default 1000000)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because no client can read progress and seals
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_failed boolean;
  v_finding text;
  v_progress bulwark_private.audit_check_progress;
  v_verdict record;
begin
  -- A second run waits, and continues where this one stopped.
  select * into v_progress from bulwark_private.audit_check_progress p for update;
  select * into v_verdict from bulwark.verify_audit_log(
    null, null, null, v_progress.after_seal, max_entries, 5
  );
  -- A verdict names only its first finding, so the number of findings is part of the key. Otherwise
  -- one altered entry would hide all later alterations.
  if v_verdict.problem is not null then
    v_finding := concat_ws(
      ' ', v_verdict.problem, v_verdict.seal, v_verdict.entry, v_verdict.problems,
      case when v_verdict.problem <> 'entry_unsealed' then v_verdict.detail end
    );
  end if;
  -- A recorded gap stays and is counted apart: it would hide that the log fails for other reasons.
  v_failed := coalesce(v_verdict.problem <> 'gap_recorded', false);
  if v_finding is not null and v_finding <> all (v_progress.reported) then
    perform bulwark_private.raise_audit_alarm(
      'verification_failed', 'bulwark.audit_logs', to_jsonb(v_verdict)
    );
  end if;
  update bulwark_private.audit_check_progress p
  set after_seal = coalesce(v_verdict.next_after_seal, 0),
      checked_at = clock_timestamp(),
      pass_began_at = case when p.after_seal = 0 then now() else p.pass_began_at end,
      passed_at = case
        when v_verdict.next_after_seal is null and not v_failed
          and (p.after_seal = 0 or coalesce(p.problem_at < p.pass_began_at, p.problem_at is null))
        then clock_timestamp()
        else p.passed_at
      end,
      problem_at = case when v_failed then clock_timestamp() else p.problem_at end,
      reported = case
        when v_finding is not null and v_finding <> all (p.reported)
        then (v_finding || p.reported)[1:100]
        else p.reported
      end;
  return v_verdict.intact and v_verdict.complete;
end;
$$;
comment on function bulwark.check_audit_log(integer) is
  'Verifies the next part of the log, starting over after the end, and raises an alarm once for each
   finding. Returns whether the part is intact and complete. For the scheduler and the service role.
   Errors: AUDIT_INVALID_LIMIT.';

create function bulwark_private.audit_verification_failed(
  progress bulwark_private.audit_check_progress
)
  returns boolean
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(progress.passed_at < progress.problem_at, progress.problem_at is not null);
$$;
comment on function bulwark_private.audit_verification_failed(
  bulwark_private.audit_check_progress
) is
  'Whether the log''s verification of itself found a problem and no whole pass since then did not.';

create function bulwark.audit_status()
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because no client can read seals and audited tables
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
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
    'timeline', (select max(e.timeline) from bulwark_private.audit_timelines e),
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
    'archived_through_seal', bulwark_private.audit_archived_through(),
    'archived_through_month', (
      select max(a.month) from bulwark.audit_archives a where a.archived_at is not null
    ),
    'gaps', (select count(*) from bulwark_private.audit_gaps),
    'audited_tables', (
      select count(*) from bulwark_private.audit_watched_tables g where g.captures
    ),
    'touched_objects', (
      select coalesce(jsonb_agg(g.relation::text order by g.relation::text), '[]')
      from bulwark_private.audit_watched_tables g
      where g.fingerprint is distinct from bulwark_private.audit_fingerprint(g.relation)
    )
  );
end;
$$;
comment on function bulwark.audit_status() is
  'Status of the log: seals, overdue entries, checkpoints, deliveries, gaps, watched objects, and
   what a restore lost or left open (settled is false until the first seal after it). For the
   service role and a super_admin. Errors: RBAC_PERMISSION_DENIED.';
