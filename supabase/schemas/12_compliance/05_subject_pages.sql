-- Subject export, its pages: what names a person in one table, and in the audit log.
-- Protects against reading a large table in one go: a page follows the primary key, and a table
-- that has to be searched is read in chunks. No hash, secret or ciphertext is in a row: only listed
-- columns, ids, times and numbers are.
-- No function here is SECURITY DEFINER.

create function bulwark_private.subject_columns(target regclass, kinds text[])
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array(
    select p.name from bulwark_private.personal_columns() p
    where p.relation = target and p.names = any (kinds)
    union
    select t.person_column from bulwark_private.personal_tables t
    where t.relation = target and kinds && '{person}'
    order by 1
  );
$$;
comment on function bulwark_private.subject_columns(regclass, text[]) is
  'The columns of a table that name a person in one of these ways.';

create function bulwark_private.subject_hidden(target regclass)
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array(
    select a.attname::text
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid
    where a.attrelid = target and a.attnum > 0 and not a.attisdropped
      and bulwark_private.is_of_bulwark(target)
      and a.attname not in ('id', 'organization_id')
      and t.typcategory not in ('B', 'D', 'N', 'T', 'E')
      and not exists (
        select from bulwark_private.personal_columns() p
        where p.relation = target and p.name = a.attname
      )
      and not exists (
        select from pg_catalog.pg_constraint k
        where k.conrelid = target and k.contype = 'f' and a.attnum = any (k.conkey)
      )
  );
$$;
comment on function bulwark_private.subject_hidden(regclass) is
  'The columns of one of our tables that no export shows: all that are not listed, no reference and
   neither a time, a number nor an enumeration. None of a table of the host.';

create function bulwark_private.subject_key(target regclass)
  returns table (name text, type text)
  language sql
  stable
  rows 2
  set search_path = pg_catalog, pg_temp
as $$
  with keys as (
    select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type, k.place
    from pg_catalog.pg_constraint c
    cross join unnest(c.conkey) with ordinality as k (number, place)
    join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number
    where c.conrelid = target and c.contype = 'p'
  )
  select k.name, k.type from (
    select * from keys
    union all
    -- Each partition counts its rows anew.
    select k.name, k.type, k.place
    from (values ('tableoid', 'oid', 1), ('ctid', 'tid', 2)) as k (name, type, place)
    where not exists (select from keys)
  ) k
  order by k.place;
$$;
comment on function bulwark_private.subject_key(regclass) is
  'The columns that a page of a table goes on after: its primary key, else the place of the row.';

create function bulwark_private.subject_organization_column(target regclass)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (select t.organization_column from bulwark_private.personal_tables t where t.relation = target),
    (
      select a.attname::text from pg_catalog.pg_attribute a
      where a.attrelid = target and a.attname = 'organization_id'
        and bulwark_private.is_of_bulwark(target) and not a.attisdropped
    )
  );
$$;
comment on function bulwark_private.subject_organization_column(regclass) is
  'The column of a table that says whose organization''s a row is; null: none.';

create function bulwark_private.subject_query(target regclass, page_size integer)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  with columns as materialized (
    select
      bulwark_private.subject_columns(target, '{person,address}') as own,
      bulwark_private.subject_columns(target, '{actor}') as acting,
      bulwark_private.subject_columns(target, '{words}') as words
  ),
  parts as (
    select c.own, c.acting, c.words,
      (
        select string_agg(format('t.%I', k.name), ', ' order by k.place)
        from bulwark_private.subject_key(target) with ordinality as k (name, type, place)
      ) as key,
      (
        select string_agg(format('($1 ->> %s)::%s', k.place - 1, k.type), ', ' order by k.place)
        from bulwark_private.subject_key(target) with ordinality as k (name, type, place)
      ) as after,
      concat_ws(', ',
        (
          select string_agg(
            format('case when lower(t.%I::text) = any ($3 || $2::text) then %L end', n, n), ', '
          )
          from unnest(c.own || c.acting) as n
        ),
        (
          select string_agg(
            format(
              'case when bulwark_private.mentions_person(t.%I::text, $2, $5) then %L end', n, n
            ), ', '
          )
          from unnest(c.words) as n
        )
      ) as named,
      -- A table with words is read in chunks, all others by their columns.
      case
        when cardinality(c.words) > 0 then 'true'
        else concat('(', (
          select string_agg(
            case
              when a.atttypid = 'uuid'::regtype then format('t.%I = $2', n)
              else format('lower(t.%I::text) = any ($3 || $2::text)', n)
            end, ' or '
          )
          from unnest(c.own || c.acting) as n
          join pg_catalog.pg_attribute a on a.attrelid = target and a.attname = n
        ), ')')
      end as condition,
      case when cardinality(c.words) > 0 then 5000 else page_size end as "limit"
    from columns c
    where cardinality(c.own || c.acting || c.words) > 0
  )
  select format(
    $query$
      select case when count(*) = %s then (array_agg(p.key order by p.place desc))[1]::text end,
        coalesce(
          jsonb_agg(
            jsonb_build_object(
              'source', %L::text, 'names', p.named,
              'row', case
                when not $6 then p.content
                when p.named && %L::text[] then p.content - array(
                  select a from unnest(%L::text[]) as a where a <> all (p.named)
                )
                -- Rows that a person only acted on are about others: who, when and which.
                else (
                  select coalesce(jsonb_object_agg(e.key, e.value), '{}')
                  from jsonb_each(p.content) e
                  where e.key in ('id', 'organization_id') or e.key like '%%\_at'
                )
              end
            )
            order by p.place
          ) filter (where cardinality(p.named) > 0),
          '[]'
        )
      from (
        select to_jsonb(t) - %L::text[] as content, jsonb_build_array(%s) as key,
          array_remove(array[%s], null) as named, row_number() over (order by %s) as place
        from %s t
        where ($1 is null or row(%s) > row(%s))
          and ($4 is null or bulwark_private.organization_of(t.%I::text) = $4)
          and %s
        order by %s
        limit %s
      ) p
    $query$,
    q."limit", target, q.own, q.acting, bulwark_private.subject_hidden(target), q.key, q.named,
    q.key, target, q.key, q.after,
    -- Any column will do where no organization is asked for.
    coalesce(bulwark_private.subject_organization_column(target), 'ctid'),
    q.condition, q.key, q."limit"
  )
  from parts q;
$$;
comment on function bulwark_private.subject_query(regclass, integer) is
  'The query for a page of the rows of a table that name a person: after ($1), user ($2), addresses
   ($3), organization ($4), pattern of the addresses ($5), only own ($6). It gives the key that the
   next page goes on after, and the rows. Null: no column names anybody.';

create function bulwark_private.subject_rows(
  target regclass,
  user_id uuid,
  addresses text[],
  organization_id uuid,
  after text,
  page_size integer,
  only_own boolean,
  out rows jsonb,
  out next_after text
)
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
begin
  rows := '[]'::jsonb;
  -- Without an organization the rows belong to the account, which is no organization's.
  if organization_id is not null
    and bulwark_private.subject_organization_column(target) is null then
    return;
  end if;
  execute coalesce(
    bulwark_private.subject_query(target, page_size), 'select null::text, ''[]''::jsonb'
  )
  into next_after, rows
  using after::jsonb, user_id, addresses, organization_id,
    bulwark_private.address_pattern(addresses), only_own;
end;
$$;
comment on function bulwark_private.subject_rows(
  regclass, uuid, text[], uuid, text, integer, boolean
) is
  'A page of the rows of a table that name a person, each with its source and the columns that do,
   and the key that the next page goes on after (null: none). only_own: without those who acted on
   the person, and of rows that the person only acted on, no more than ids and times.';

create function bulwark_private.subject_entries(
  user_id uuid,
  addresses text[],
  organization_id uuid,
  after text,
  only_own boolean,
  out rows jsonb,
  out next_after text,
  out withheld bigint
)
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  c_chunk constant integer := 2000;
  v_after constant uuid := coalesce(
    (after::jsonb ->> 0)::uuid, '00000000-0000-0000-0000-000000000000'
  );
  v_pattern constant text := bulwark_private.address_pattern(addresses);
  v_read record;
  -- A row that is withheld is not told by the entries about it either.
  v_withheld constant text[] := array(
    select distinct p.relation::text from bulwark_private.personal_columns() p where p.withheld
  );
begin
  select count(*) as read, (array_agg(p.id order by p.id desc))[1] as last,
    count(*) filter (where cardinality(p.named) > 0 and p.is_withheld) as withheld,
    coalesce(
      jsonb_agg(
        jsonb_build_object(
          'source', 'bulwark.audit_logs', 'names', p.named,
          'row', jsonb_strip_nulls(case
            when not only_own then p.content
            -- The values in entries are others' too: the person learns what, when and where from.
            when p.actor_id = subject_entries.user_id
              then p.content - '{before,after,details}'::text[]
            else p.content - '{before,after,details,actor_id,session_id,correlation_id,ip,
              user_agent,database_user}'::text[]
          end)
        )
        order by p.id
      ) filter (where cardinality(p.named) > 0 and not p.is_withheld),
      '[]'
    ) as rows
  into v_read
  from (
    select e.id, e.actor_id,
      to_jsonb(e) - '{xid,salt,commitment}'::text[] as content,
      array_remove(array[
        case when e.actor_id = subject_entries.user_id then 'actor_id' end,
        case when bulwark_private.mentions_person(e.resource_id, subject_entries.user_id, v_pattern)
          then 'resource_id' end,
        case when bulwark_private.mentions_person(
          concat_ws(' ', e.action, e.before, e.after, e.details), subject_entries.user_id, v_pattern
        ) then 'contents' end
      ], null) as named,
      only_own and e.actor_id is distinct from subject_entries.user_id
        and (e.severity = 'critical' or e.event_type like 'security.%'
          or e.resource_type = any (v_withheld)) as is_withheld
    from (
      (
        select * from bulwark.audit_logs l
        where subject_entries.organization_id is null and l.id > v_after
        order by l.id
        limit c_chunk
      )
      union all
      -- Sorted by both columns of the index, so that no other can be taken for a faster one.
      (
        select * from bulwark.audit_logs l
        where (l.organization_id, l.id) > (subject_entries.organization_id, v_after)
          and (l.organization_id, l.id)
            <= (subject_entries.organization_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by l.organization_id, l.id
        limit c_chunk
      )
    ) e
  ) p;
  rows := v_read.rows;
  withheld := v_read.withheld;
  next_after := case
    when v_read.read = c_chunk then jsonb_build_array(v_read.last)::text
  end;
end;
$$;
comment on function bulwark_private.subject_entries(uuid, text[], uuid, text, boolean) is
  'The entries among the next 2,000 that a person made or that name them. only_own: without values,
   without those who acted on the person, and without entries that are critical, of category
   security or about tables that are withheld, which are counted (withheld).';
