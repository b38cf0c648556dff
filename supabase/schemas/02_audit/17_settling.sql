-- Audit settling: the first run of the sealer in a cluster into which the log was restored,
-- upgraded or forked.
-- Protects against a restored log that is never sealed, and against a restore that silently loses a
-- part of the log's protection.
-- No function here is SECURITY DEFINER.

create function bulwark_private.renew_audit_stamp(timeline bulwark_private.audit_timelines)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '100ms'
as $$
begin
  -- The lock blocks writers, so the timeout is short; it grows with the time the log has gone
  -- without a seal.
  perform set_config(
    'lock_timeout',
    least(
      100 + 20 * date_part('epoch', clock_timestamp() - timeline.started_at), 5000
    )::integer::text,
    true
  );
  perform bulwark_private.install_audit_stamp();
  return true;
exception
  when lock_not_available then
    return false;
end;
$$;
comment on function bulwark_private.renew_audit_stamp(bulwark_private.audit_timelines) is
  'Makes the trigger stamp entries with the settled timeline; false if writers keep the table
   busy.';

create function bulwark_private.adopt_audit_fingerprints()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_watched record;
begin
  -- A restore gives columns new numbers. They are found by name, except those reported as missing.
  update bulwark_private.audit_watched_tables g
  set options = jsonb_set(g.options, '{written, 12}', to_jsonb((p.places || k.kept)::text))
  from (
    select a.relation, a.fingerprint, (a.options -> 'written' ->> 12)::jsonb as before,
      bulwark_private.audit_places(
        a.relation, array(select jsonb_object_keys((a.options -> 'written' ->> 12)::jsonb))
      ) as places
    from bulwark_private.audit_watched_tables a where a.captures
  ) p
  cross join lateral (
    select coalesce(jsonb_object_agg(b.name, 0), '{}') as kept
    from jsonb_each(p.before) as b (name, place)
    where p.fingerprint like format('%%missing/%s||%%', translate(b.name, ' |', '__'))
  ) k
  where g.relation = p.relation and p.before is distinct from p.places || k.kept;
  -- A project that a backup of rows was loaded into may have later months than the backup.
  insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
  select p.relation, false, bulwark_private.audit_fingerprint(p.relation)
  from bulwark_private.audit_partitions p
  on conflict (relation) do nothing;
  -- A restore gives triggers and functions new numbers and transactions. Without the numbers both
  -- fingerprints have to be equal.
  for v_watched in
    select g.relation, g.relation::text as name, f.present,
      (
        select string_agg(e, ' ') from unnest(string_to_array(k.before, ' ')) as e
        where e <> all (string_to_array(k.after, ' ')) and e !~ '^(partition|missing)/'
      ) as lost,
      (
        select string_agg(e, ' ') from unnest(string_to_array(k.after, ' ')) as e
        where e <> all (string_to_array(k.before, ' '))
          and e !~ '^(partition/|audit_logs_note_late\|)'
      ) as gained
    from bulwark_private.audit_watched_tables g
    -- "offset 0" keeps the planner from computing the fingerprint anew for each of its words.
    cross join lateral (
      select bulwark_private.audit_fingerprint(g.relation) as present offset 0
    ) f
    cross join lateral (
      select
        regexp_replace(g.fingerprint, '(?<=[|:/])[0-9]+(?=[|:/ ]|$)', '', 'g') as before,
        regexp_replace(f.present, '(?<=[|:/])[0-9]+(?=[|:/ ]|$)', '', 'g') as after
      offset 0
    ) k
  loop
    if v_watched.lost is not null or v_watched.gained is not null then
      perform bulwark_private.append_audit_entry(
        'security.suspicious_activity', resource_type => v_watched.name,
        action => 'watched_object_changed', severity => 'critical',
        details => jsonb_build_object('expected', v_watched.lost, 'found', v_watched.gained)
      );
      perform bulwark.raise_security_event(
        'audit_protection_touched', null, null, v_watched.name, '{"restored": true}'
      );
    end if;
    update bulwark_private.audit_watched_tables g set fingerprint = v_watched.present
    where g.relation = v_watched.relation;
  end loop;
end;
$$;
comment on function bulwark_private.adopt_audit_fingerprints() is
  'After a restore: accepts the present fingerprints, and raises an alarm for each watched object
   that differs from before.';

create function bulwark_private.settle_audit_timeline()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_timeline bulwark_private.audit_timelines;
  v_number integer;
  v_postgres_timeline bigint := (select c.timeline_id from pg_catalog.pg_control_checkpoint() c);
begin
  if not bulwark_private.audit_log_is_settled() then
    -- A restore that has not loaded any data yet.
    if not exists (select from bulwark_private.audit_timelines)
      and not exists (select from bulwark.audit_logs)
    then
      return false;
    end if;
    v_number := bulwark_private.audit_timeline();
    select * into strict v_timeline
    from bulwark_private.audit_timelines e where e.timeline = v_number;
    if not bulwark_private.renew_audit_stamp(v_timeline) then
      return false;
    end if;
    if v_timeline.settled_at is null then
      update bulwark_private.audit_timelines e set settled_at = clock_timestamp()
        where e.timeline = v_timeline.timeline;
      perform bulwark_private.append_audit_entry(
        'system.warning', resource_type => 'bulwark.audit_logs', action => 'timeline_started',
        details => to_jsonb(v_timeline)
      );
      -- The first seal here reads all partitions.
      delete from bulwark_private.audit_late_entries;
      perform bulwark_private.mend_restore();
      perform bulwark_private.adopt_audit_fingerprints();
    else
      -- The trigger was made for this cluster before, so somebody replaced it.
      perform bulwark_private.append_audit_entry(
        'security.suspicious_activity', resource_type => 'bulwark.audit_logs',
        action => 'stamp_replaced', severity => 'critical', details => to_jsonb(v_timeline)
      );
      perform bulwark.raise_security_event(
        'audit_protection_touched', null, null, 'bulwark.audit_logs', '{"stamp": "replaced"}'
      );
    end if;
  end if;
  v_number := bulwark_private.audit_timeline();
  select * into strict v_timeline
  from bulwark_private.audit_timelines e where e.timeline = v_number;
  if v_timeline.postgres_timeline <> v_postgres_timeline then
    update bulwark_private.audit_timelines e set postgres_timeline = v_postgres_timeline
    where e.timeline = v_timeline.timeline;
    perform bulwark_private.append_audit_entry(
      'system.warning', resource_type => 'bulwark.audit_logs', action => 'fork',
      details => jsonb_build_object(
        'postgres_timeline', v_postgres_timeline,
        'postgres_timeline_before', v_timeline.postgres_timeline
      )
    );
  end if;
  return true;
end;
$$;
comment on function bulwark_private.settle_audit_timeline() is
  'Starts a timeline after a restore or an upgrade, and records a fork after a recovery to a point
   in time or a promotion. False if nothing can be sealed yet: the next run tries again.';
