-- Re-encryption: hands out rows under a superseded data key in batches and writes them back.
-- Protects against lost writes (each row is compared with the value that was read) and against
-- half-done batches (progress and rows are written in one transaction).
-- SECURITY DEFINER, because the service role writes no table and reads none of bulwark_private:
-- next_reencryption_batch, apply_reencryption_batch, retry_reencryption, encryption_overview.

create function bulwark_private.stale_rows_query(reencryption_id bigint)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text;
  v_column record;
begin
  select e.*, k.purpose, k.id as data_key_id into strict v_column
  from bulwark_private.reencryptions r
  join bulwark_private.encrypted_columns e on e.relation = r.relation
    and e.column_name = r.column_name
  join bulwark_private.data_keys k on k.id = r.data_key_id
  where r.id = reencryption_id;
  v_key := translate(
    left(encode(uuid_send(v_column.data_key_id), 'base64'), 22), '+/', '-_'
  );
  return format(
    $query$
      select %1$s::text as place, t.%2$I::text as row_key, %3$s as organization_id,
        t.%4$I as ciphertext
      from %5$s t
      where %6$s and ($1 is null or %1$s > $1::%7$s)
      order by %1$s
    $query$,
    format('t.%I', case v_column.purpose
      when 'index' then v_column.index_column else v_column.primary_key end),
    v_column.primary_key,
    case
      when v_column.organization_column is null then 'null::uuid'
      else bulwark_private.organization_expression(
        v_column.relation, v_column.organization_column,
        format('t.%I', v_column.organization_column)
      )
    end,
    v_column.column_name,
    v_column.relation,
    case v_column.purpose
      when 'index' then format(
        't.%1$I >= %2$L and t.%1$I < %3$L', v_column.index_column, 'bwi1.' || v_key || '.',
        'bwi1.' || v_key || '/'
      )
      else format('substr(t.%I, 13, 22) = %L', v_column.column_name, v_key)
    end,
    case v_column.purpose when 'index' then 'text' else v_column.primary_key_type::text end
  );
end;
$$;
comment on function bulwark_private.stale_rows_query(bigint) is
  'The query for the rows of a re-encryption after a place ($1), in order.';

create function bulwark.next_reencryption_batch(batch_size integer default 500)
  returns table (
    reencryption_id bigint,
    schema_name text,
    table_name text,
    column_name text,
    is_indexed boolean,
    normalization text,
    place text,
    next_place text,
    batch jsonb
  )
  language plpgsql
  volatile
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch jsonb;
  v_column bulwark_private.encrypted_columns;
  v_next text;
  v_query text;
  v_settled boolean;
  v_state bulwark_private.reencryption_state;
  v_work bulwark_private.reencryptions;
begin
  if batch_size is null or batch_size not between 1 and 1000 then
    raise exception 'Cannot hand out batch: it has 1 to 1000 rows'
      using errcode = 'invalid_parameter_value', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  loop
    select r.* into v_work
    from bulwark_private.reencryptions r
    join bulwark_private.data_keys k on k.id = r.data_key_id
    where (
        r.state = 'running'
        or (
          r.state = 'settling'
          and k.superseded_at < clock_timestamp() - make_interval(
            secs => (bulwark_private.setting('encryption.settle_seconds'))::float8
          )
        )
      )
      and (r.leased_until is null or r.leased_until < clock_timestamp())
    -- Work whose batch was lent and not returned comes last, so that a failing key does not delay
    -- others.
    order by r.leased_until nulls first, r.id
    limit 1
    for update of r skip locked;
    if not found then
      return;
    end if;
    select e.* into v_column
    from bulwark_private.encrypted_columns e
    join pg_catalog.pg_class c on c.oid = e.relation
    where e.relation = v_work.relation and e.column_name = v_work.column_name;
    if not found or exists (
      select from bulwark_private.data_keys k where k.id = v_work.data_key_id
        and k.state = 'destroyed'
    ) then
      -- The table was dropped, or the organization shredded.
      update bulwark_private.reencryptions r
      set state = 'done', finished_at = clock_timestamp(), updated_at = clock_timestamp()
      where r.id = v_work.id;
      continue;
    end if;
    v_query := bulwark_private.stale_rows_query(v_work.id);
    if v_work.total is null then
      execute format('select count(*) from (%s) s', v_query) into v_work.total using null::text;
      update bulwark_private.reencryptions r set total = v_work.total where r.id = v_work.id;
    end if;
    execute format(
      $query$
        select jsonb_agg(
            jsonb_build_object('k', s.row_key, 'o', s.organization_id, 'c', s.ciphertext)
          ), max(s.place) filter (where s.number = s.rows)
        from (
          select b.*, row_number() over () as number, count(*) over () as rows
          from (%s limit %s) b
        ) s
      $query$,
      v_query, batch_size
    )
    into v_batch, v_next using v_work.place;
    if v_batch is not null then
      update bulwark_private.reencryptions r
      set state = 'running',
          leased_until = clock_timestamp() + make_interval(
            secs => (bulwark_private.setting('encryption.lease_seconds'))::float8
          )
      where r.id = v_work.id;
      return query
        select v_work.id, n.nspname::text, c.relname::text, v_work.column_name,
          v_column.index_column is not null, v_column.normalization, v_work.place, v_next, v_batch
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.oid = v_work.relation;
      return;
    end if;
    if v_work.place is null
      or v_work.failed_in_pass > 0 and v_work.changed_in_pass + v_work.missed_in_pass = 0 then
      -- Nothing is left to do now, but functions with the old key in their cache may still write
      -- under it.
      select k.superseded_at < clock_timestamp() - make_interval(
        secs => (bulwark_private.setting('encryption.settle_seconds'))::float8
      )
      into v_settled
      from bulwark_private.data_keys k where k.id = v_work.data_key_id;
      v_state := case
        when not v_settled then 'settling'::bulwark_private.reencryption_state
        when v_work.place is null then 'done'
        else 'incomplete'
      end::bulwark_private.reencryption_state;
      update bulwark_private.reencryptions r
      set state = v_state, place = null, changed_in_pass = 0, missed_in_pass = 0,
          failed_in_pass = 0, finished_at = case when v_settled then clock_timestamp() end,
          updated_at = clock_timestamp()
      where r.id = v_work.id;
      continue when v_state <> 'incomplete';
      perform bulwark_private.append_audit_entry(
        event_type => 'system.error',
        organization_id => (
          select k.organization_id from bulwark_private.data_keys k where k.id = v_work.data_key_id
        ),
        resource_type => v_work.relation::text,
        action => 'reencrypt',
        result => 'partial',
        details => jsonb_build_object(
          'column', v_work.column_name, 'rows', v_work.failed_in_pass
        )
      );
    else
      -- Another pass, for rows written behind this one.
      update bulwark_private.reencryptions r
      set place = null, changed_in_pass = 0, missed_in_pass = 0, failed_in_pass = 0
      where r.id = v_work.id;
    end if;
  end loop;
end;
$$;
comment on function bulwark.next_reencryption_batch(integer) is
  'The next rows to re-encrypt, lent to the caller for a few seconds; no row if there is no work.
   Service role only. Errors: ENCRYPTION_INVALID_ARGUMENT.';

-- Compare and swap: a row that changed since it was read is skipped, and so is a locked row. The
-- next pass finds it if it is still under the old key.
create function bulwark_private.swap_rows_statement(reencryption_id bigint)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_column bulwark_private.encrypted_columns;
begin
  select e.* into strict v_column
  from bulwark_private.reencryptions r
  join bulwark_private.encrypted_columns e on e.relation = r.relation
    and e.column_name = r.column_name
  where r.id = reencryption_id;
  return format(
    $query$
      with given as materialized (
        select g.k::%1$s as k, g.c, g.n, g.i
        from jsonb_to_recordset($1) as g (k text, c text, n text, i text)
      ),
      free as materialized (
        select t.%2$I as k
        from %3$s t
        join given g on t.%2$I = g.k and t.%4$I = g.c
        for update of t skip locked
      )
      update %3$s t
      set %4$I = g.n %5$s
      from given g
      join free f on f.k = g.k
      where t.%2$I = g.k and t.%4$I = g.c
    $query$,
    v_column.primary_key_type, v_column.primary_key, v_column.relation, v_column.column_name,
    case when v_column.index_column is not null then format(', %I = g.i', v_column.index_column) end
  );
end;
$$;
comment on function bulwark_private.swap_rows_statement(bigint) is
  'The statement that writes a batch ($1) of a re-encryption.';

create function bulwark.apply_reencryption_batch(
  reencryption_id bigint,
  next_place text,
  changes jsonb,
  failures jsonb default '[]',
  place text default null
)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table of the host
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed integer;
  v_failed integer;
  v_statement text;
  v_work bulwark_private.reencryptions;
begin
  select r.* into v_work
  from bulwark_private.reencryptions r
  where r.id = apply_reencryption_batch.reencryption_id
    and r.state = 'running'
    and r.place is not distinct from apply_reencryption_batch.place
  for update;
  if not found then
    -- The loan expired, and another worker has finished the batch.
    return 0;
  end if;
  v_statement := bulwark_private.swap_rows_statement(v_work.id);
  execute v_statement using changes;
  get diagnostics v_changed = row_count;
  insert into bulwark.reencryption_failures as e (reencryption_id, row_key, fault)
  select v_work.id, f.k, left(f.f, 64)
  from jsonb_to_recordset(failures) as f (k text, f text)
  on conflict on constraint reencryption_failures_is_one_a_row do update
    set fault = excluded.fault, noticed_at = now();
  get diagnostics v_failed = row_count;
  update bulwark_private.reencryptions r
  set place = apply_reencryption_batch.next_place,
      done = r.done + v_changed,
      changed_in_pass = r.changed_in_pass + v_changed,
      missed_in_pass = r.missed_in_pass + jsonb_array_length(changes) - v_changed,
      failed_in_pass = r.failed_in_pass + v_failed,
      leased_until = null,
      updated_at = clock_timestamp()
  where r.id = v_work.id;
  return v_changed;
end;
$$;
comment on function bulwark.apply_reencryption_batch(bigint, text, jsonb, jsonb, text) is
  'Writes a batch and its progress in one transaction. changes are {k: primary key, c: ciphertext
   that was read, n: new ciphertext, i: new blind index}. Changes only declared columns, and only
   where the old value is unchanged. Returns the number of changed rows. Service role only.';

create function bulwark.retry_reencryption(organization_id uuid default null)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because no client and no service writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_retried integer;
begin
  perform bulwark_private.require_permission_to_act('encryption:rotate', organization_id);
  -- The rows are locked first: a worker locks them before it notes a failure.
  perform from bulwark_private.reencryptions r
  join bulwark_private.data_keys k on k.id = r.data_key_id
  where r.state = 'incomplete'
    and (
      retry_reencryption.organization_id is null
      or k.organization_id = retry_reencryption.organization_id
    )
  order by r.id
  for update of r;
  delete from bulwark.reencryption_failures f
  using bulwark_private.reencryptions r
  join bulwark_private.data_keys k on k.id = r.data_key_id
  where r.id = f.reencryption_id and r.state = 'incomplete'
    and (
      retry_reencryption.organization_id is null
      or k.organization_id = retry_reencryption.organization_id
    );
  update bulwark_private.reencryptions r
  set state = 'running', finished_at = null, changed_in_pass = 0, missed_in_pass = 0,
      failed_in_pass = 0
  from bulwark_private.data_keys k
  where k.id = r.data_key_id and r.state = 'incomplete'
    and (
      retry_reencryption.organization_id is null
      or k.organization_id = retry_reencryption.organization_id
    );
  get diagnostics v_retried = row_count;
  -- Progress is not audited, so that somebody asked for it is.
  if v_retried > 0 then
    perform bulwark_private.append_audit_entry(
      'data.update',
      organization_id => retry_reencryption.organization_id,
      resource_type => 'bulwark_private.reencryptions',
      action => 'retry_reencryption',
      details => jsonb_build_object('retried', v_retried)
    );
  end if;
  return v_retried;
end;
$$;
comment on function bulwark.retry_reencryption(uuid) is
  'Restarts the incomplete re-encryptions of an organization (encryption:rotate there; null: all,
   system-wide), after their rows were fixed. Returns how many. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED.';

create function bulwark.encryption_overview(organization_id uuid default null)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because keys and progress live in bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('encryption:rotate', organization_id);
  return jsonb_build_object(
    'shredded_at', (
      select s.shredded_at from bulwark_private.shredded_organizations s
      where s.organization_id = encryption_overview.organization_id
    ),
    'messages_per_key', bulwark_private.setting('encryption.messages_per_key'),
    'keys', (
      select coalesce(jsonb_agg(to_jsonb(k) order by k.purpose, k.version desc), '[]')
      from (
        select d.purpose, d.version, d.state, d.messages, d.created_at, d.superseded_at,
          d.destroyed_at
        from bulwark_private.data_keys d
        where d.organization_id is not distinct from encryption_overview.organization_id
        order by d.version desc
        limit 100
      ) k
    ),
    'columns', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'table', e.relation::text, 'column', e.column_name,
        'blind_index', e.index_column is not null, 'declared_at', e.declared_at
      ) order by e.relation::text, e.column_name), '[]')
      from bulwark_private.encrypted_columns e
      where (e.organization_column is null) = (encryption_overview.organization_id is null)
    ),
    'reencryptions', (
      select coalesce(jsonb_agg(to_jsonb(p) - 'of_organization' order by p.started_at desc), '[]')
      from bulwark.encryption_progress(encryption_overview.organization_id) p
      where p.state <> 'done'
        and p.of_organization is not distinct from encryption_overview.organization_id
    ),
    'failures', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'table', x.table_name, 'column', x.column_name, 'fault', x.fault, 'rows', x.rows,
        'row_keys', x.row_keys
      ) order by x.table_name, x.column_name, x.fault), '[]')
      from (
        select r.relation::text as table_name, r.column_name, f.fault, count(*) as rows,
          (array_agg(f.row_key order by f.id))[1:10] as row_keys
        from bulwark_private.data_keys d
        join bulwark_private.reencryptions r on r.data_key_id = d.id
        join bulwark.reencryption_failures f on f.reencryption_id = r.id
        where d.organization_id is not distinct from encryption_overview.organization_id
        group by 1, 2, 3
      ) x
    )
  );
end;
$$;
comment on function bulwark.encryption_overview(uuid) is
  'The encryption of an organization (encryption:rotate there; null: of the system, system-wide):
   { shredded_at, messages_per_key, keys, columns, reencryptions, failures }. keys: the newest 100
   data keys without the keys themselves: purpose, version, state, messages, created_at,
   superseded_at, destroyed_at. columns: table, column, blind_index, declared_at. reencryptions:
   those that are not done, as encryption_progress has them. failures: table, column, fault, rows
   that cannot be decrypted, and the primary keys of the first ten. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
