-- 02_audit: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
create or replace function bulwark_private.adopt_audit_fingerprints()
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
        where e <> all (string_to_array(k.before, ' ')) and e !~ '^partition/'
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
