-- Rate limits levels: how many callers are blocked now, for metrics.
-- Protects against an attack, or a limit that is too low, that nobody sees.
-- No function here is SECURITY DEFINER.

create function bulwark_private.rate_limit_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 3
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
  with blocked as materialized (
    select b.kind from bulwark.rate_limit_blocks b
    where b.expires_at > now() and b.lifted_at is null
    limit 100000
  )
  select
    'blocked_callers', '', 'Blocks that are in force, up to 100000',
    jsonb_build_object('kind', k.kind), count(b.kind)::double precision
  from unnest('{address,api_key,pair}'::text[]) as k (kind)
  left join blocked b on b.kind = k.kind
  group by k.kind;
$$;
comment on function bulwark_private.rate_limit_levels() is
  'The levels of rate limits: see docs/metrics.md.';
