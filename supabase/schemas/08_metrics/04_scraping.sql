-- Metrics, scraping: cumulative values for scrapers, and the queries with the most database time.
-- Protects literals, passwords and comments in queries from being shown.
-- SECURITY DEFINER: scrape_metrics, because clients read no table of bulwark_private; top_queries,
-- because they may not read pg_stat_statements.

create function bulwark.scrape_metrics()
  returns json                -- not jsonb, which would be parsed and printed again
  language plpgsql
  stable
  security definer            -- definer because clients read no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:monitor', null);
  -- One value instead of rows: the Data API limits rows, and a scrape must be complete.
  return (
    select coalesce(
      json_agg(
        json_build_object(
          'name', m.name, 'kind', m.kind, 'unit', m.unit, 'description', m.description,
          'series', s.series
        )
        order by m.name
      ),
      '[]'
    )
    from bulwark_private.metrics m
    join lateral (
      select json_agg(
        json_build_array(
          s.labels, s.count, s.total, s.last, s.zeros, s.octaves, s.octave_counts
        )
        order by s.id
      ) as series
      from bulwark_private.metric_series s
      where s.metric = m.name
        -- A gauge that is no longer reported has no current level.
        and (m.kind <> 'gauge' or s.last_at > now() - m.valid_for)
    ) as s on s.series is not null
  );
end;
$$;
comment on function bulwark.scrape_metrics() is
  'Cumulative values of all metrics, for scrapers: a list of {name, kind, unit, description,
   series}; a series is [labels, count, total, last, zeros, octaves, counts]. Needs system:monitor.
   Errors: RBAC_PERMISSION_DENIED.';

create function bulwark.top_queries(page_size integer default 20)
  returns table (
    query text,
    calls bigint,
    total_ms double precision,
    mean_ms double precision,
    maximum_ms double precision,
    returned_rows bigint,
    share double precision
  )
  language plpgsql
  stable
  rows 20
  security definer            -- definer because clients may not read pg_stat_statements
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_queries jsonb;
  v_schema name;
begin
  perform bulwark.require_permission('system:monitor', null);
  select n.nspname into v_schema
  from pg_catalog.pg_extension e
  join pg_catalog.pg_namespace n on n.oid = e.extnamespace
  where e.extname = 'pg_stat_statements';
  if not found then
    return;
  end if;
  -- The extension replaces constants, but not in utility statements, which may contain passwords:
  -- those are omitted. Other queries are cut at a quote or a comment.
  execute format(
    $query$
      select jsonb_agg(q)
      from (
        select
          left(
            regexp_replace(
              regexp_replace(s.query, $re$('|--|/\*|\$[A-Za-z_]*\$).*$re$, '...'), '\s+', ' ', 'g'
            ),
            2000
          ) as query,
          s.calls, s.total_exec_time as total_ms, s.mean_exec_time as mean_ms,
          s.max_exec_time as maximum_ms, s.rows as returned_rows,
          s.total_exec_time / nullif(sum(s.total_exec_time) over (), 0) as share
        from %I.pg_stat_statements s
        where s.dbid = (select d.oid from pg_catalog.pg_database d
                        where d.datname = pg_catalog.current_database())
          and s.query ~* '^\s*(select|insert|update|delete|merge|with)\M'
        order by s.total_exec_time desc
        limit $1
      ) as q
    $query$,
    v_schema
  )
  into v_queries
  using least(greatest(page_size, 1), 100);
  return query
    select q.query, q.calls, q.total_ms, q.mean_ms, q.maximum_ms, q.returned_rows, q.share
    from jsonb_to_recordset(coalesce(v_queries, '[]')) as q (
      query text, calls bigint, total_ms double precision, mean_ms double precision,
      maximum_ms double precision, returned_rows bigint, share double precision
    );
exception
  when object_not_in_prerequisite_state then
    return;                   -- the extension exists but is not preloaded
end;
$$;
comment on function bulwark.top_queries(integer) is
  'The queries with the most total time, from pg_stat_statements, without literals; times in
   milliseconds, share of the total from 0 to 1. No rows if the extension is not in use. Needs
   system:monitor. Errors: RBAC_PERMISSION_DENIED.';
