-- Encryption levels: how much of its limit the most used data key has used, for metrics.
-- Protects against a key that encrypts more than it may, because nobody made a new version.
-- No function here is SECURITY DEFINER.

create function bulwark_private.encryption_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 3
  set search_path = pg_catalog, pg_temp
as $$
  with used as (
    select k.messages::double precision / l.most as share
    from bulwark_private.data_keys k
    cross join (
      select least(
        (bulwark_private.setting('encryption.messages_per_key'))::bigint, 4294967296
      ) as most
    ) l
    where k.state = 'current'
  )
  select l.metric, l.unit, l.description, '{}'::jsonb, l.value
  from (
    select
      'data_key_usage', 'percent', 'Messages of the most used data key, of its limit',
      coalesce(max(u.share), 0) * 100
    from used u
    union all
    select
      'data_keys_near_limit', '', 'Data keys that have used 90 percent of their limit',
      count(*)::double precision
    from used u where u.share >= 0.9
    union all
    select
      'reencryptions_incomplete', '', 'Re-encryptions that ended with rows nobody can decrypt',
      count(*)::double precision
    from bulwark_private.reencryptions r where r.state = 'incomplete'
  ) as l (metric, unit, description, value);
$$;
comment on function bulwark_private.encryption_levels() is
  'The levels of encryption: see docs/metrics.md.';
