-- Audit settling: the first run of the sealer in a cluster into which the log was restored,
-- upgraded or forked.
-- Protects against a restored log that is never sealed, and against a restore that silently loses a
-- part of the log's protection.
-- No function here is SECURITY DEFINER.

create function bulwark_private.renew_audit_stamp(era bulwark_private.audit_eras)
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
    least(100 + 20 * date_part('epoch', clock_timestamp() - era.started_at), 5000)::integer::text,
    true
  );
  perform bulwark_private.install_audit_stamp(era.era);
  return true;
exception
  when lock_not_available then
    return false;
end;
$$;
comment on function bulwark_private.renew_audit_stamp(bulwark_private.audit_eras) is
  'Makes the trigger stamp entries with this era; false if writers keep the table busy.';

create function bulwark_private.adopt_audit_guards()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_guard record;
begin
  -- A restore gives columns new numbers. They are found by name, except those reported as missing.
  update bulwark_private.audit_guards g
  set options = jsonb_set(g.options, '{written, 12}', to_jsonb((p.places || k.kept)::text))
  from (
    select a.relation, a.fingerprint, (a.options -> 'written' ->> 12)::jsonb as before,
      bulwark_private.audit_places(
        a.relation, array(select jsonb_object_keys((a.options -> 'written' ->> 12)::jsonb))
      ) as places
    from bulwark_private.audit_guards a where a.captures
  ) p
  cross join lateral (
    select coalesce(jsonb_object_agg(b.name, 0), '{}') as kept
    from jsonb_each(p.before) as b (name, place)
    where p.fingerprint like format('%%missing/%s||%%', translate(b.name, ' |', '__'))
  ) k
  where g.relation = p.relation and p.before is distinct from p.places || k.kept;
  -- A restore gives triggers and functions new numbers and transactions. Without the numbers both
  -- fingerprints have to be equal.
  for v_guard in
    select g.relation, g.relation::text as name,
    bulwark_private.audit_fingerprint(g.relation) as present,
      (
        select string_agg(e, ' ') from unnest(string_to_array(k.before, ' ')) as e
        where e <> all (string_to_array(k.after, ' ')) and e !~ '^(partition|missing)/'
      ) as lost,
      (
        select string_agg(f, ' ') from unnest(string_to_array(k.after, ' ')) as f
        where f <> all (string_to_array(k.before, ' ')) and f !~ '^partition/'
      ) as gained
    from bulwark_private.audit_guards g
    cross join lateral (
      select
        regexp_replace(g.fingerprint, '(?<=[|:/])[0-9]+(?=[|:/ ]|$)', '', 'g') as before,
        regexp_replace(
          bulwark_private.audit_fingerprint(g.relation), '(?<=[|:/])[0-9]+(?=[|:/ ]|$)', '', 'g'
        ) as after
    ) k
  loop
    if v_guard.lost is not null or v_guard.gained is not null then
      perform bulwark_private.append_audit_entry(
        'security.suspicious_activity', resource_type => v_guard.name, action => 'guard_changed',
        severity => 'critical',
        details => jsonb_build_object('expected', v_guard.lost, 'found', v_guard.gained)
      );
      perform bulwark.raise_security_event(
        'audit_protection_touched', null, null, v_guard.name, '{"restored": true}'
      );
    end if;
    update bulwark_private.audit_guards g set fingerprint = v_guard.present
    where g.relation = v_guard.relation;
  end loop;
end;
$$;
comment on function bulwark_private.adopt_audit_guards() is
  'After a restore: accepts the present fingerprints, and raises an alarm for each watched object
   that differs from before.';

create function bulwark_private.settle_audit_era()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_era bulwark_private.audit_eras;
  v_number integer;
  v_timeline bigint := (select c.timeline_id from pg_catalog.pg_control_checkpoint() c);
begin
  if not bulwark_private.audit_log_is_settled() then
    -- A restore that has not loaded any data yet.
    if not exists (select from bulwark_private.audit_eras)
      and not exists (select from bulwark.audit_logs)
    then
      return false;
    end if;
    v_number := bulwark_private.audit_era();
    select * into strict v_era from bulwark_private.audit_eras e where e.era = v_number;
    if not bulwark_private.renew_audit_stamp(v_era) then
      return false;
    end if;
    if v_era.settled_at is null then
      update bulwark_private.audit_eras e set settled_at = clock_timestamp()
        where e.era = v_era.era;
      perform bulwark_private.append_audit_entry(
        'system.warning', resource_type => 'bulwark.audit_logs', action => 'era_started',
        details => to_jsonb(v_era)
      );
      perform bulwark_private.mend_restore();
      perform bulwark_private.adopt_audit_guards();
    else
      -- The trigger was made for this cluster before, so somebody replaced it.
      perform bulwark_private.append_audit_entry(
        'security.suspicious_activity', resource_type => 'bulwark.audit_logs',
        action => 'stamp_replaced', severity => 'critical', details => to_jsonb(v_era)
      );
      perform bulwark.raise_security_event(
        'audit_protection_touched', null, null, 'bulwark.audit_logs', '{"stamp": "replaced"}'
      );
    end if;
  end if;
  v_number := bulwark_private.audit_era();
  select * into strict v_era from bulwark_private.audit_eras e where e.era = v_number;
  if v_era.timeline <> v_timeline then
    update bulwark_private.audit_eras e set timeline = v_timeline where e.era = v_era.era;
    perform bulwark_private.append_audit_entry(
      'system.warning', resource_type => 'bulwark.audit_logs', action => 'fork',
      details => jsonb_build_object('timeline', v_timeline, 'timeline_before', v_era.timeline)
    );
  end if;
  return true;
end;
$$;
comment on function bulwark_private.settle_audit_era() is
  'Starts an era after a restore or an upgrade, and records a fork after a recovery to a point in
   time or a promotion. False if nothing can be sealed yet: the next run tries again.';
