-- 03_encryption: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
drop function bulwark.retry_reencryption();
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
revoke all on function bulwark.retry_reencryption(organization_id uuid) from public;
revoke all on function bulwark.retry_reencryption(organization_id uuid) from anon;
revoke all on function bulwark.retry_reencryption(organization_id uuid) from authenticated;
revoke all on function bulwark.retry_reencryption(organization_id uuid) from service_role;
revoke all on function bulwark.encryption_overview(organization_id uuid) from public;
revoke all on function bulwark.encryption_overview(organization_id uuid) from anon;
revoke all on function bulwark.encryption_overview(organization_id uuid) from authenticated;
revoke all on function bulwark.encryption_overview(organization_id uuid) from service_role;
revoke all on function bulwark_private.encryption_levels() from public;
revoke all on function bulwark_private.encryption_levels() from anon;
revoke all on function bulwark_private.encryption_levels() from authenticated;
revoke all on function bulwark_private.encryption_levels() from service_role;
grant execute on function bulwark.retry_reencryption(uuid) to authenticated;
grant execute on function bulwark.retry_reencryption(uuid) to service_role;
grant execute on function bulwark.encryption_overview(uuid) to authenticated;
grant execute on function bulwark.encryption_overview(uuid) to service_role;
