-- Audit enabling: enable_audit starts auditing a table and disable_audit stops it; both are
-- recorded.
-- Protects against a table whose rows cannot be identified, a secret that enters the log through a
-- misspelt column name, and changes of Bulwark's own tables without a trace: all of them are
-- audited here.
-- No function here is SECURITY DEFINER.

create function bulwark_private.drop_audit_triggers(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name name;
begin
  for v_name in
    select t.tgname
    from pg_catalog.pg_trigger t
    where t.tgrelid = target and t.tgname ~ '^bulwark_audit(_|$)' and t.tgparentid = 0
  loop
    execute format('drop trigger %I on %s', v_name, target);
  end loop;
  perform bulwark_private.forget_parents(g.options ->> 'stem')
  from bulwark_private.audit_watched_tables g
  where g.relation = target and g.options ? 'stem';
  -- Also drops functions whose table was dropped.
  for v_name in
    select p.proname
    from pg_catalog.pg_proc p
    where p.pronamespace = 'bulwark_private'::regnamespace
      and p.proname ~ '^audit_(insert|update|delete)_[0-9a-f]{32}$'
      and not exists (select from pg_catalog.pg_trigger t where t.tgfoid = p.oid)
  loop
    execute format('drop function bulwark_private.%I()', v_name);
  end loop;
end;
$$;
comment on function bulwark_private.drop_audit_triggers(regclass) is
  'Drops Bulwark''s audit triggers from a table, and all row functions that no trigger uses any
   more.';

create function bulwark.disable_audit(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from bulwark_private.audit_watched_tables g where g.relation = target and g.captures
  ) then
    raise exception 'Cannot disable audit: % is not audited', target
      using errcode = 'PT404', detail = 'AUDIT_NOT_GUARDED',
        hint = 'Nothing is to be done: its changes are not recorded';
  end if;
  perform bulwark_private.drop_audit_triggers(target);
  delete from bulwark_private.audit_watched_tables g where g.relation = target;
end;
$$;
comment on function bulwark.disable_audit(regclass) is
  'Stops auditing a table. The deleted row of audit_watched_tables is itself recorded. Errors:
   AUDIT_NOT_GUARDED.';

create function bulwark.enable_audit(
  target regclass,
  organization_column text default null,
  ignore text[] default '{}',
  redact text[] default '{}',
  bulk boolean default false,
  event_types text[] default '{data.create,data.update,data.delete}',
  organization_lookup regproc default null,
  direct_only boolean default false
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text[];
  v_name text;
  v_operation text;
  v_stem constant text := bulwark_private.audit_stem(target);
  v_options text[];
  v_severities text[];
begin
  if num_nulls(target, ignore, redact, bulk, event_types, direct_only) > 0 then
    raise exception 'Cannot enable audit: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'AUDIT_NULL_ARGUMENT';
  end if;
  select concat(n.nspname, '.', c.relname) into v_name
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.oid = target and c.relkind in ('r', 'p') and c.relpersistence <> 't';
  if not found or exists (
    select from bulwark_private.audit_watched_tables g where g.relation = target and not g.captures
  ) then
    raise exception 'Cannot enable audit: % is not a table that can be audited', target
      using errcode = 'wrong_object_type', detail = 'AUDIT_NOT_A_TABLE',
            hint = 'Audit the tables under a view; the audit log protects itself';
  end if;
  if bulk and exists (
    select from pg_catalog.pg_class c where c.oid = target and c.relkind = 'p'
  ) then
    raise exception 'Cannot enable audit: % has partitions, which are also written to directly',
      target
      using errcode = 'wrong_object_type', detail = 'AUDIT_NOT_A_TABLE',
            hint = 'Audit it without bulk: then every write to a partition is an entry';
  end if;
  v_key := bulwark_private.audit_key_columns(target, null);
  if v_key is null then
    raise exception 'Cannot enable audit: % has no primary key', target
      using errcode = 'invalid_table_definition', detail = 'AUDIT_NO_PRIMARY_KEY',
            hint = 'Without one an entry could not say which row changed';
  end if;
  if exists (
    select from unnest(ignore || redact || organization_column) as c
    where c is not null and not exists (
      select from pg_catalog.pg_attribute a
      where a.attrelid = target and a.attname = c and a.attnum > 0 and not a.attisdropped
    )
  ) then
    raise exception 'Cannot enable audit: % lacks a column that was named', target
      using errcode = 'undefined_column', detail = 'AUDIT_UNKNOWN_COLUMN',
        hint = 'Name columns that the table has, as they are spelled there';
  end if;
  if redact && v_key then
    raise exception 'Cannot enable audit: a key column names the row and cannot be redacted'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_KEY_REDACTED',
        hint = 'Redact other columns, or use a key without personal data';
  end if;
  if organization_column is not null
      and bulwark_private.organization_expression(target, organization_column, '') is null
    or organization_lookup is not null and not exists (
      select from pg_catalog.pg_proc p
      join pg_catalog.pg_attribute a on a.attrelid = target and a.attname = organization_column
      where p.oid = organization_lookup and p.proargtypes[0] = a.atttypid
    ) then
    raise exception 'Cannot enable audit: the organization column has another type'
      using errcode = 'datatype_mismatch', detail = 'AUDIT_INVALID_ORGANIZATION_COLUMN',
            hint = 'It is a uuid, bigint, integer or text, and the look-up takes the same type';
  end if;
  select array_agg(t.severity::text order by e.place) into v_severities
  from unnest(event_types) with ordinality as e (name, place)
  join bulwark.audit_event_types t on t.name = e.name;
  if cardinality(event_types) <> 3 or cardinality(v_severities) is distinct from 3 then
    raise exception 'Cannot enable audit: insert, update and delete each need a known event type'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from audit_event_types';
  end if;

  perform bulwark_private.drop_audit_triggers(target);
  v_options := array[
    v_name, v_key::text, coalesce(organization_column, ''), coalesce(organization_lookup::text, ''),
    ignore::text, redact::text
  ] || event_types || v_severities
    || bulwark_private.audit_places(target, ignore || redact || organization_column)::text;
  foreach v_operation in array '{insert,update,delete,truncate}'::text[] loop
    execute format(
      'create trigger %I after %s on %s %s for each %s %s execute function bulwark_private.%I(%s)',
      'bulwark_audit_' || v_operation, v_operation, target,
      case when bulk then case v_operation
        when 'insert' then 'referencing new table as new_rows'
        when 'update' then 'referencing old table as old_rows new table as new_rows'
        when 'delete' then 'referencing old table as old_rows'
      end end,
      case when bulk or v_operation = 'truncate' then 'statement' else 'row' end,
      case when direct_only then 'when (pg_trigger_depth() = 0)' end,
      case
        when v_operation = 'truncate' then 'audit_truncate'
        when bulk then 'audit_rows'
        else bulwark_private.make_audit_function(target, v_operation, v_options, v_stem)
      end,
      case when bulk or v_operation = 'truncate' then (
        select string_agg(quote_literal(o), ', ' order by place)
        from unnest(v_options[:12]) with ordinality as t (o, place)
      ) end
    );
    -- Enabled always: session_replication_role skips ordinary triggers.
    execute format(
      'alter table %s enable always trigger %I', target, 'bulwark_audit_' || v_operation
    );
  end loop;
  if organization_lookup is not null then
    perform bulwark_private.watch_parents(
      target, organization_column, organization_lookup, v_stem
    );
  end if;
  insert into bulwark_private.audit_watched_tables (relation, options, fingerprint, shape)
  values (
    target,
    jsonb_build_object(
      'organization_column', organization_column, 'ignore', ignore, 'redact', redact, 'bulk', bulk,
      'event_types', event_types, 'organization_lookup', organization_lookup,
      'direct_only', direct_only, 'written', v_options, 'stem', v_stem
    ),
    bulwark_private.audit_fingerprint(target), bulwark_private.audit_shape(target)
  )
  on conflict (relation) do update
    set options = excluded.options, fingerprint = excluded.fingerprint, shape = excluded.shape,
        enabled_at = now();
end;
$$;
comment on function bulwark.enable_audit(
  regclass, text, text[], text[], boolean, text[], regproc, boolean
) is
  'Audits a table: every insert, update (changed columns), delete and truncate leaves an entry.
   organization_column (uuid, bigint, integer or text) holds the organization''s key;
   organization_lookup, a function of the column''s type, finds it if the column holds another key.
   ignore leaves columns out, redact masks their values. bulk writes
   the entries of a statement at once. event_types are those of insert, update and delete.
   direct_only skips changes made by other triggers. A further call replaces all options; call it
   again after renaming the table. Errors: AUDIT_NOT_A_TABLE, AUDIT_NO_PRIMARY_KEY,
   AUDIT_UNKNOWN_COLUMN, AUDIT_KEY_REDACTED, AUDIT_INVALID_ORGANIZATION_COLUMN,
   AUDIT_UNKNOWN_EVENT_TYPE, AUDIT_NULL_ARGUMENT.';

create function bulwark_private.renew_audit_functions(everything boolean default false)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_watched record;
begin
  for v_watched in
    select
      g.relation, g.shape_now,
      array(select jsonb_array_elements_text(g.options -> 'written')) as options
    from (
      select a.*, bulwark_private.audit_shape(a.relation) as shape_now
      from bulwark_private.audit_watched_tables a
      join pg_catalog.pg_class c on c.oid = a.relation
      where a.captures
    ) g
    where everything or g.shape_now is distinct from g.shape
  loop
    perform bulwark_private.make_audit_function(
      v_watched.relation, substring(p.proname from '^audit_([a-z]+)_'), v_watched.options,
      right(p.proname, 32)
    )
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = v_watched.relation
      and p.pronamespace = 'bulwark_private'::regnamespace
      and p.proname ~ '^audit_(insert|update|delete)_[0-9a-f]{32}$';
    update bulwark_private.audit_watched_tables g
    set shape = v_watched.shape_now, fingerprint = bulwark_private.audit_fingerprint(g.relation)
    where g.relation = v_watched.relation;
  end loop;
end;
$$;
comment on function bulwark_private.renew_audit_functions(boolean) is
  'Regenerates the row functions of tables that were altered (with everything: of all, after an
   upgrade). Until then audit_carefully
   writes their entries, which is slower. If the key changed or a watched column was renamed, it
   does so until enable_audit is called.';

create function bulwark_private.role_organization(role_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$ select r.organization_id from bulwark.roles r where r.id = role_organization.role_id; $$;
comment on function bulwark_private.role_organization(uuid) is
  'The organization that owns a role; null for a system role.';

create function bulwark_private.invitation_organization(invitation_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select i.organization_id
  from bulwark.invitations i where i.id = invitation_organization.invitation_id;
$$;
comment on function bulwark_private.invitation_organization(uuid) is
  'The organization that sent an invitation.';

-- The list of audited tables comes first, so that every later change of it is recorded. catalogue
-- is ignored: changing it hides nothing, since the sealer also compares without it.
select bulwark.enable_audit(
  'bulwark_private.audit_watched_tables', ignore => '{catalogue}',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit('bulwark.organizations', organization_column => 'id');
select bulwark.enable_audit('bulwark.permissions');
select bulwark.enable_audit('bulwark.roles', organization_column => 'organization_id');
select bulwark.enable_audit(
  'bulwark.role_permissions', organization_column => 'role_id',
  organization_lookup => 'bulwark_private.role_organization',
  event_types => '{authz.permission_granted,data.update,data.delete}'
);
select bulwark.enable_audit(
  'bulwark.role_inheritance', organization_column => 'role_id',
  organization_lookup => 'bulwark_private.role_organization'
);
select bulwark.enable_audit(
  'bulwark.user_roles', organization_column => 'organization_id',
  event_types => '{authz.role_assigned,authz.role_assigned,authz.role_removed}'
);
-- The e-mail address is redacted: it may belong to somebody without an account, for whom nobody
-- could have it erased.
select bulwark.enable_audit(
  'bulwark.invitations', organization_column => 'organization_id', redact => '{email}'
);
select bulwark.enable_audit(
  'bulwark_private.invitation_tokens', organization_column => 'invitation_id',
  organization_lookup => 'bulwark_private.invitation_organization', ignore => '{token_hash}'
);
-- Triggers maintain this table, so only direct writes are recorded: they would grant rights by
-- hand.
select bulwark.enable_audit(
  'bulwark_private.effective_permissions', organization_column => 'role_id',
  organization_lookup => 'bulwark_private.role_organization', direct_only => true
);
-- The tables by which rbac decides about second factors.
-- The ignored columns change with every use, which the entry auth.mfa_verified records.
select bulwark.enable_audit(
  'bulwark.mfa_secrets', ignore => '{last_step, last_used_at}', redact => '{secret}'
);
select bulwark.enable_audit('bulwark.mfa_policies', organization_column => 'organization_id');
-- Only direct writes, which would forge a proof. Rows deleted with their session are not recorded.
select bulwark.enable_audit('bulwark_private.mfa_sessions', direct_only => true);
select bulwark.enable_audit('bulwark_private.mfa_backup_codes', ignore => '{code_hash}');
select bulwark.enable_audit(
  'bulwark_private.mfa_trusted_devices', ignore => '{token_hash, last_used_at}'
);
select bulwark.enable_audit('bulwark_private.reserved_slugs');
select bulwark.enable_audit(
  'bulwark_private.host_organizations',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark_private.host_members',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark.settings', event_types => '{settings.updated,settings.updated,settings.updated}'
);
select bulwark.enable_audit(
  'bulwark_private.jobs', event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark.audit_event_types', event_types => '{config.changed,config.changed,config.changed}'
);

-- The log's own tables are watched the same way.
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
select r, false, bulwark_private.audit_fingerprint(r)
from unnest('{bulwark.audit_logs, bulwark_private.audit_timelines}'::regclass[]) as r;
