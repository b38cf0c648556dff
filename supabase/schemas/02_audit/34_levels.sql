-- Audit levels: how far sealing, signing and verification are behind, as numbers for metrics.
-- Protects against a log that falls behind unnoticed. Each number costs a few index look-ups,
-- whatever the size of the log.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_waiting(
  most integer, snapshot pg_snapshot default pg_current_snapshot()
)
  returns table (entries bigint, since timestamptz)
  language plpgsql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_custom_plan -- opens only the partitions that can have new entries
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_first uuid;
  v_last bulwark_private.audit_seals;
  v_range bulwark_private.audit_range;
  v_timeline constant integer := (select max(t.timeline) from bulwark_private.audit_timelines t);
begin
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  if v_last.number is not null and not bulwark_private.audit_log_is_settled() then
    -- Transaction ids of another cluster cannot be compared.
    entries := 0;
    since := v_last.sealed_at;
    return next;
    return;
  end if;
  if v_last.through is null then
    v_range := (v_last.timeline, v_last.snapshot, v_timeline, audit_waiting.snapshot, null, null);
  else
    v_range := (
      select row(
        (s.range).base_timeline, (s.range).base_snapshot, (s.range).timeline, (s.range).snapshot,
        (s.range).through, null
      )::bulwark_private.audit_range
      from bulwark_private.audit_seal_ranges s where s.number = v_last.number
    );
  end if;
  if v_range.base_timeline = v_range.timeline then
    v_first := bulwark_private.audit_open_from(v_range.base_timeline, v_range.base_snapshot);
  end if;
  return query
    select count(*), least(min(e.occurred_at), now())
    from bulwark_private.audit_entries(
      v_range, hashed => false, most => audit_waiting.most, first_id => v_first
    ) e
    having count(*) > 0;
  if not found then
    entries := 0;
    return next;
  end if;
end;
$$;
comment on function bulwark_private.audit_waiting(integer, pg_snapshot) is
  'How many committed entries wait for a seal, counted up to a maximum, and since when the first of
   them does (null: none waits). A restored log waits from its last seal until its first one here.';

create function bulwark_private.audit_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language plpgsql
  stable
  rows 10
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  v_checks bulwark_private.audit_check_progress;
  v_signed timestamptz;
  v_waiting record;
begin
  select * into v_waiting from bulwark_private.audit_waiting(10000);
  select * into v_checks from bulwark_private.audit_check_progress p;
  select c.signed_at into v_signed
  from bulwark.audit_checkpoints c order by c.tree_size desc limit 1;
  return query
    select l.metric, l.unit, l.description, '{}'::jsonb, l.value::double precision
    from (
      values
        ('audit_unsealed_entries', '', 'Entries of the audit log that wait for a seal, up to 10000',
          v_waiting.entries),
        ('audit_seal_lag', 'seconds', 'How long the oldest entry without a seal waits',
          coalesce(extract(epoch from now() - v_waiting.since), 0)),
        ('audit_checkpoint_lag', 'seconds', 'How long the oldest seal without a signature waits',
          coalesce(
            extract(epoch from now() - bulwark_private.audit_unsigned_since()), 0
          )),
        ('audit_checkpoint_age', 'seconds', 'Time since the newest checkpoint was signed',
          extract(epoch from now() - v_signed)),
        ('audit_checkpoints_undelivered', '', 'Checkpoints not stored elsewhere, up to 10000',
          (
            select count(*)
            from (
              select from bulwark.audit_checkpoints c where c.delivered_at is null limit 10000
            ) c
          )),
        ('audit_verification_failed', '', 'Whether the log was found altered or incomplete: 0 or 1',
          bulwark_private.audit_verification_failed(v_checks)::integer),
        ('audit_verification_age', 'seconds', 'Time since a part of the log was verified',
          extract(epoch from now() - v_checks.checked_at)),
        ('audit_verification_pass_age', 'seconds', 'Time since the whole log was found intact',
          extract(epoch from now() - v_checks.passed_at)),
        ('audit_gaps', '', 'Events of Supabase Auth that could not be recorded, up to 10000',
          (
            select count(*) from (select from bulwark_private.audit_gaps limit 10000) g
          ))
    ) as l (metric, unit, description, value)
    where l.value is not null;
end;
$$;
comment on function bulwark_private.audit_levels() is
  'The levels of the audit log: see docs/metrics.md.';
