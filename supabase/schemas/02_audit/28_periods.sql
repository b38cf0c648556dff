-- Audit periods: the part of the sealed log from which a period can be proved. It has one entry
-- that was sealed before the period and one that was sealed after it. Their signed seals prove
-- that nothing of the period is missing, so nobody has to believe this function.
-- Protects against readers of other organizations (audit:export).
-- SECURITY DEFINER: audit_period, because no client can read seals.

create function bulwark.audit_period(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null
)
  returns table (after text, through text, entries bigint)
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_before bulwark_private.audit_groups;
  v_behind bulwark_private.audit_groups;
  v_first bigint;
  v_gone bigint;
  v_last bigint;
  v_signed constant bigint := coalesce(
    (select max(c.tree_size) from bulwark.audit_checkpoints c), 0
  );
begin
  perform bulwark_private.require_audit('audit:export', organization_id);
  if not (isfinite(since) and isfinite(until)) or since > until
    or since > now() + interval '1 day' then
    raise exception 'Cannot export the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if since is not null then
    select s.number into v_first
    from bulwark_private.audit_seals s
    where s.sealed_at >= since
    order by s.sealed_at, s.number
    limit 1;
    select * into v_before
    from bulwark_private.audit_group_before(
      audit_period.organization_id, least(v_first, v_signed + 1)
    );
    after := v_before.seal || ':' || (v_before.entry_count - 1);
  end if;
  select s.number into v_last
  from bulwark_private.audit_seals s
  where s.sealed_at >= until
  order by s.sealed_at, s.number
  limit 1;
  if v_last is not null then
    select * into v_behind
    from bulwark_private.audit_groups_of(audit_period.organization_id, v_last, v_signed)
    limit 1;
    through := v_behind.seal || ':1';
  end if;
  -- An export begins after what was pruned or archived.
  select g.entries_before + g.entry_count into v_gone
  from bulwark_private.audit_group_before(
    audit_period.organization_id,
    greatest(
      (select max(r.through_seal) from bulwark_private.audit_prunings r),
      bulwark_private.audit_archived_through()
    ) + 1
  ) g;
  entries := greatest(0, coalesce(
    v_behind.entries_before + 1,
    (
      select g.entries_before + g.entry_count
      from bulwark_private.audit_group_before(audit_period.organization_id, v_signed + 1) g
    ),
    0
  ) - greatest(v_before.entries_before + v_before.entry_count - 1, v_gone, 0));
  return next;
end;
$$;
comment on function bulwark.audit_period(uuid, timestamptz, timestamptz) is
  'The cursors between which an organization''s log (audit:export there; null: the entries without
   one, for a super_admin and the service role) proves all that was sealed from since and before
   until. after is null if nothing was sealed before; through is null if nothing signed was sealed
   since, so that an export ends with the log. entries counts what lies between them. Errors:
   AUDIT_INVALID_RANGE, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
