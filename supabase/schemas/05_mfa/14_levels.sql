-- MFA levels: how many members have a second factor, for metrics.
-- Protects against accounts that a password alone opens, and nobody counts. Only counts leave the
-- database: mfa_compliance says who it is.
-- No function here is SECURITY DEFINER.

create function bulwark_private.mfa_coverage()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 4
  set search_path = pg_catalog, pg_temp
  set jit = off
as $$
  with members as materialized (
    select m.user_id, m.required,
      f.user_id is not null or bulwark_private.native_factors(m.user_id) > 0 as enrolled
    from (
      select g.user_id, coalesce(bool_or(p.required_from <= now()), false) as required
      from bulwark_private.active_grants g
      left join bulwark.mfa_policies p on p.organization_id is not distinct from g.organization_id
      group by g.user_id
    ) m
    left join (
      select distinct s.user_id from bulwark.mfa_secrets s where s.activated_at is not null
    ) f on f.user_id = m.user_id
  ),
  counted as (
    select
      count(*) filter (where m.enrolled) as enrolled,
      count(*) filter (where not m.enrolled and not m.required) as missing,
      count(*) filter (where not m.enrolled and m.required) as overdue,
      count(*) as members
    from members m
  )
  select l.metric, l.unit, l.description, l.labels, l.value::double precision
  from counted c
  cross join lateral (
    values
      ('mfa_coverage', 'percent', 'Members with a second factor, of all members', '{}'::jsonb,
        coalesce(100.0 * c.enrolled / nullif(c.members, 0), 100)),
      ('mfa_members', '', 'Members by their second factor', '{"state": "enrolled"}', c.enrolled),
      ('mfa_members', '', 'Members by their second factor', '{"state": "missing"}', c.missing),
      ('mfa_members', '', 'Members by their second factor', '{"state": "overdue"}', c.overdue)
  ) as l (metric, unit, description, labels, value);
$$;
comment on function bulwark_private.mfa_coverage() is
  'The coverage of second factors: see docs/metrics.md. A member counts once, whatever the number of
   organizations. It reads every grant, so it is measured less often than levels.';
