-- 03_encryption: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: changed: create table bulwark_private.key_encryption_keys (
-- Key-encryption keys that are lost, or that functions could not use.
alter table bulwark_private.key_encryption_keys
  add column lost_at timestamptz,
  add column fault text;
drop function bulwark.retry_reencryption();
drop function bulwark.find_key_encryption_key(key_id text);
comment on column bulwark_private.key_encryption_keys.lost_at is
  'When the owner declared that nobody has the key any more; null: it is in use.';
comment on column bulwark_private.key_encryption_keys.fault is
  'Why a function could not use the key when it last tried: missing, or wrong (it has another key
   under the id); null: it could.';
create or replace function bulwark_private.require_not_shredded(organization_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from bulwark_private.shredded_organizations s
    where s.organization_id = require_not_shredded.organization_id
  ) then
    raise exception 'Cannot use data keys: those of the organization were destroyed'
      using errcode = 'PT410', detail = 'ENCRYPTION_KEY_DESTROYED',
        hint = 'Nothing brings them back; a new organization gets new keys';
  end if;
end;
$$;
create or replace function bulwark.find_key_encryption_key(key_id text)
  returns table (
    derivation text,
    salt text,
    rounds bigint,
    check_value text,
    is_lost boolean,
    fault text
  )
  language sql
  stable
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select k.derivation, k.salt, k.rounds, k.check_value, k.lost_at is not null, k.fault
  from bulwark_private.key_encryption_keys k
  where k.id = find_key_encryption_key.key_id;
$$;
comment on function bulwark.find_key_encryption_key(text) is
  'The derivation parameters of a key-encryption key, whether it was declared lost, and the last
   fault (report_key_fault); no row if it is not registered (service role only).';
create or replace function bulwark.read_index_keys(for_organization uuid default null)
  returns table (
    id uuid,
    organization_id uuid,
    purpose text,
    version bigint,
    wrapped_key text
  )
  language plpgsql
  stable
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_not_shredded(read_index_keys.for_organization);
  return query
    select k.id, k.organization_id, k.purpose::text, k.version, k.wrapped_key
    from bulwark_private.data_keys k
    where (
        k.organization_id = read_index_keys.for_organization
        or (k.organization_id is null and read_index_keys.for_organization is null)
      )
      and k.purpose = 'index'
      and not exists (
        select from bulwark_private.key_encryption_keys e
        where e.id = k.kek and e.lost_at is not null
      )
    order by k.version desc
    limit 10;
end;
$$;
comment on function bulwark.read_index_keys(uuid) is
  'The ten newest index keys of an organization (null: the system) that are not lost, the current
   one first (service role only). Errors: ENCRYPTION_KEY_DESTROYED.';
create function bulwark_private.queue_reencryption(
  organization_id uuid, purpose bulwark_private.data_key_purpose
)
  returns void
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- All older keys are queued again, because values may have been written late or a column declared
  -- since. Finding nothing costs one index look-up.
  insert into bulwark_private.reencryptions as r (data_key_id, relation, column_name)
  select k.id, e.relation, e.column_name
  from bulwark_private.encrypted_columns e
  join bulwark_private.data_keys k
    on k.organization_id is not distinct from queue_reencryption.organization_id
    and k.purpose = queue_reencryption.purpose
    and k.state = 'superseded'
  where (k.purpose = 'field' or e.index_column is not null)
    and (e.organization_column is null) = (k.organization_id is null)
  order by k.version, e.relation, e.column_name
  on conflict on constraint reencryptions_is_one_a_column do update
    set state = 'running', finished_at = null
    where r.state = 'done';
$$;
comment on function bulwark_private.queue_reencryption(
  uuid, bulwark_private.data_key_purpose
) is
  'Queues the values under superseded data keys of an organization (null: the system) for
   re-encryption.';
create function bulwark_private.require_kek_in_use(wrapped_key text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_lost_at timestamptz;
begin
  -- Waits for a declaration, which then counts. A function that still has the lost key in memory
  -- would otherwise wrap new data keys under it, and the next process could not read them.
  select k.lost_at into v_lost_at
  from bulwark_private.key_encryption_keys k
  where k.id = split_part(require_kek_in_use.wrapped_key, '.', 2)
  for key share;
  if v_lost_at is not null then
    raise exception 'Cannot wrap data key: the key-encryption key was declared lost'
      using errcode = 'PT410', detail = 'ENCRYPTION_KEY_LOST',
            hint = 'Give the functions another key, and deploy them again';
  end if;
end;
$$;
comment on function bulwark_private.require_kek_in_use(text) is
  'Raises ENCRYPTION_KEY_LOST if the key-encryption key of a wrapped data key was declared lost, and
   keeps it from being declared so until commit.';
create or replace function bulwark.add_data_key(
  key_id uuid,
  purpose text,
  wrapped_key text,
  after_version integer,
  organization_id uuid default null
)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_exists boolean;
  v_old bulwark_private.data_keys;
  v_purpose constant bulwark_private.data_key_purpose :=
    add_data_key.purpose::bulwark_private.data_key_purpose;
begin
  if num_nulls(key_id, purpose, wrapped_key, after_version) > 0 then
    raise exception 'Cannot add data key: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  -- Before the locks of data keys, as the declaration of a loss.
  perform bulwark_private.require_kek_in_use(add_data_key.wrapped_key);
  -- A shared lock against deletion, which destroys the organization's keys. Locks the organization
  -- first, like the destruction, so that they cannot deadlock.
  perform from bulwark.organizations o where o.id = add_data_key.organization_id for key share;
  v_exists := found or add_data_key.organization_id is null;
  perform bulwark_private.lock_data_keys(add_data_key.organization_id);
  perform bulwark_private.require_not_shredded(add_data_key.organization_id);
  if not v_exists then
    raise exception 'Cannot add data key: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  select * into v_old
  from bulwark_private.data_keys k
  where coalesce(k.organization_id, '00000000-0000-0000-0000-000000000000')
      = coalesce(add_data_key.organization_id, '00000000-0000-0000-0000-000000000000')
    and k.purpose = v_purpose
    and k.state = 'current'
  for update;
  if coalesce(v_old.version, 0) <> after_version then
    return false;
  end if;
  update bulwark_private.data_keys k
  set state = 'superseded', superseded_at = now()
  where k.id = v_old.id;
  insert into bulwark_private.data_keys (id, organization_id, purpose, version, kek, wrapped_key)
  select
    key_id, add_data_key.organization_id, v_purpose,
    -- There are versions without a current one if their key-encryption key was lost.
    coalesce(max(k.version), 0) + 1, split_part(add_data_key.wrapped_key, '.', 2),
    add_data_key.wrapped_key
  from bulwark_private.data_keys k
  where k.organization_id is not distinct from add_data_key.organization_id
    and k.purpose = v_purpose;
  perform bulwark_private.queue_reencryption(add_data_key.organization_id, v_purpose);
  return true;
end;
$$;
comment on function bulwark.add_data_key(uuid, text, text, integer, uuid) is
  'Makes a wrapped key the current one of an organization (null: the system). Returns false if
   after_version is no longer the current version. Queues values under the old key for
   re-encryption. Service role only. Errors: ENCRYPTION_KEY_DESTROYED, ENCRYPTION_KEY_LOST,
   RBAC_UNKNOWN_ORGANIZATION, ENCRYPTION_INVALID_ARGUMENT.';
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
create or replace function bulwark.choose_key_encryption_key(key_id text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform from bulwark_private.key_encryption_keys k
  where k.id = key_id and k.lost_at is null
  for update;
  if not found then
    raise exception 'Cannot choose key-encryption key: the id is not registered, or was lost'
      using errcode = 'PT404', detail = 'ENCRYPTION_UNKNOWN_KEY',
        hint = 'List usable ids with: select id from bulwark.key_encryption_status()';
  end if;
  update bulwark_private.key_encryption_keys k set is_current = false
  where k.is_current and k.id <> key_id;
  update bulwark_private.key_encryption_keys k set is_current = true
  where not k.is_current and k.id = key_id;
end;
$$;
create or replace function bulwark.data_keys_to_rewrap(kek text, batch_size integer default 100)
  returns table (
    id uuid,
    organization_id uuid,
    purpose text,
    version bigint,
    wrapped_key text
  )
  language sql
  stable
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select k.id, k.organization_id, k.purpose::text, k.version, k.wrapped_key
  from bulwark_private.data_keys k
  where k.kek <> data_keys_to_rewrap.kek and k.state <> 'destroyed'
    and not exists (
      select from bulwark_private.key_encryption_keys e
      where e.id = k.kek and e.lost_at is not null
    )
  order by k.id
  limit least(batch_size, 1000);
$$;
comment on function bulwark.data_keys_to_rewrap(text, integer) is
  'Data keys that are wrapped by another key-encryption key that is not lost (service role only).';
create or replace function bulwark.rewrap_data_keys(changes jsonb)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed integer;
begin
  perform bulwark_private.require_kek_in_use(g.n)
  from (
    select distinct on (split_part(c.n, '.', 2)) c.n
    from jsonb_to_recordset(changes) as c (n text)
    order by split_part(c.n, '.', 2)
  ) g;
  update bulwark_private.data_keys k
  set wrapped_key = g.n, kek = split_part(g.n, '.', 2)
  from jsonb_to_recordset(changes) as g (id uuid, c text, n text)
  where k.id = g.id and k.wrapped_key = g.c;
  get diagnostics v_changed = row_count;
  return v_changed;
end;
$$;
comment on function bulwark.rewrap_data_keys(jsonb) is
  'Writes rewrapped data keys: {id, c: wrapped key that was read, n: new one}, only where the old
   one is unchanged. Returns the number changed. Service role only. Errors: ENCRYPTION_KEY_LOST.';
create function bulwark.report_key_fault(key_id text, fault text default null)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
begin
  if num_nulls(key_id) > 0 or report_key_fault.fault not in ('missing', 'wrong') then
    raise exception 'Cannot report key-encryption key: it is missing, wrong, or in order (null)'
      using errcode = 'invalid_parameter_value', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  update bulwark_private.key_encryption_keys k
  set fault = report_key_fault.fault
  where k.id = report_key_fault.key_id and k.fault is distinct from report_key_fault.fault;
end;
$$;
comment on function bulwark.report_key_fault(text, text) is
  'Remembers that a function could not use a key-encryption key (missing, or wrong: another key has
   its id), or again can (null). bulwark doctor shows it. Service role only. Errors:
   ENCRYPTION_INVALID_ARGUMENT.';
create function bulwark.declare_key_lost(key_id text)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_data_keys integer;
begin
  perform from bulwark_private.key_encryption_keys k where k.id = key_id for update;
  if not found then
    raise exception 'Cannot declare key lost: the id is not registered'
      using errcode = 'PT404', detail = 'ENCRYPTION_UNKNOWN_KEY',
        hint = 'List the ids with: select id from bulwark.key_encryption_status()';
  end if;
  update bulwark_private.key_encryption_keys k
  set lost_at = coalesce(k.lost_at, now()), is_current = false
  where k.id = key_id;
  -- Without a current data key, the next encryption makes one.
  update bulwark_private.data_keys k
  set state = 'superseded', superseded_at = now()
  where k.kek = key_id and k.state = 'current';
  -- The worker finds the lost values, and lists them.
  perform bulwark_private.queue_reencryption(k.organization_id, k.purpose)
  from (
    select distinct d.organization_id, d.purpose from bulwark_private.data_keys d
    where d.kek = key_id and d.state <> 'destroyed'
  ) k;
  select count(*) into v_data_keys
  from bulwark_private.data_keys k
  where k.kek = key_id and k.state <> 'destroyed';
  return v_data_keys;
end;
$$;
comment on function bulwark.declare_key_lost(text) is
  'Goes on without a key-encryption key that nobody has any more: data keys that it wraps are no
   longer used, new ones are made under another key, and values under the lost one are answered with
   ENCRYPTION_KEY_LOST and listed in bulwark.reencryption_failures. Returns how many data keys are
   lost. For the owner of the database; recorded as an entry. Errors: ENCRYPTION_UNKNOWN_KEY.';
create function bulwark.declare_key_found(key_id text)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  update bulwark_private.key_encryption_keys k set lost_at = null
  where k.id = key_id and k.lost_at is not null;
  if not found then
    raise exception 'Cannot declare key found: no lost key has this id'
      using errcode = 'PT404', detail = 'ENCRYPTION_UNKNOWN_KEY',
        hint = 'List the ids with: select id from bulwark.key_encryption_status()';
  end if;
  -- The rows that were given up are read again, and re-encrypted.
  return bulwark.retry_reencryption();
end;
$$;
comment on function bulwark.declare_key_found(text) is
  'Takes declare_key_lost back, after the functions have the key again: its values can be read, and
   are re-encrypted under the present data keys. Returns how many re-encryptions begin anew. For the
   owner of the database; recorded as an entry. Errors: ENCRYPTION_UNKNOWN_KEY.';
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
revoke all on function bulwark.find_key_encryption_key(key_id text) from public;
revoke all on function bulwark.find_key_encryption_key(key_id text) from anon;
revoke all on function bulwark.find_key_encryption_key(key_id text) from authenticated;
revoke all on function bulwark.find_key_encryption_key(key_id text) from service_role;
revoke all on function bulwark_private.queue_reencryption(organization_id uuid, purpose bulwark_private.data_key_purpose) from public;
revoke all on function bulwark_private.queue_reencryption(organization_id uuid, purpose bulwark_private.data_key_purpose) from anon;
revoke all on function bulwark_private.queue_reencryption(organization_id uuid, purpose bulwark_private.data_key_purpose) from authenticated;
revoke all on function bulwark_private.queue_reencryption(organization_id uuid, purpose bulwark_private.data_key_purpose) from service_role;
revoke all on function bulwark_private.require_kek_in_use(wrapped_key text) from public;
revoke all on function bulwark_private.require_kek_in_use(wrapped_key text) from anon;
revoke all on function bulwark_private.require_kek_in_use(wrapped_key text) from authenticated;
revoke all on function bulwark_private.require_kek_in_use(wrapped_key text) from service_role;
revoke all on function bulwark.retry_reencryption(organization_id uuid) from public;
revoke all on function bulwark.retry_reencryption(organization_id uuid) from anon;
revoke all on function bulwark.retry_reencryption(organization_id uuid) from authenticated;
revoke all on function bulwark.retry_reencryption(organization_id uuid) from service_role;
revoke all on function bulwark.encryption_overview(organization_id uuid) from public;
revoke all on function bulwark.encryption_overview(organization_id uuid) from anon;
revoke all on function bulwark.encryption_overview(organization_id uuid) from authenticated;
revoke all on function bulwark.encryption_overview(organization_id uuid) from service_role;
revoke all on function bulwark.report_key_fault(key_id text, fault text) from public;
revoke all on function bulwark.report_key_fault(key_id text, fault text) from anon;
revoke all on function bulwark.report_key_fault(key_id text, fault text) from authenticated;
revoke all on function bulwark.report_key_fault(key_id text, fault text) from service_role;
revoke all on function bulwark.declare_key_lost(key_id text) from public;
revoke all on function bulwark.declare_key_lost(key_id text) from anon;
revoke all on function bulwark.declare_key_lost(key_id text) from authenticated;
revoke all on function bulwark.declare_key_lost(key_id text) from service_role;
revoke all on function bulwark.declare_key_found(key_id text) from public;
revoke all on function bulwark.declare_key_found(key_id text) from anon;
revoke all on function bulwark.declare_key_found(key_id text) from authenticated;
revoke all on function bulwark.declare_key_found(key_id text) from service_role;
revoke all on function bulwark_private.encryption_levels() from public;
revoke all on function bulwark_private.encryption_levels() from anon;
revoke all on function bulwark_private.encryption_levels() from authenticated;
revoke all on function bulwark_private.encryption_levels() from service_role;
grant execute on function bulwark.retry_reencryption(uuid) to authenticated;
grant execute on function bulwark.retry_reencryption(uuid) to service_role;
grant execute on function bulwark.encryption_overview(uuid) to authenticated;
grant execute on function bulwark.encryption_overview(uuid) to service_role;
grant execute on function bulwark.find_key_encryption_key(text) to service_role;
grant execute on function bulwark.report_key_fault(text, text) to service_role;
