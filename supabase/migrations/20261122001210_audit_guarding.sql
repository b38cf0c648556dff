-- Audit guarding: one line puts a table under the log, and one takes it out, which is an entry too.
-- Protects against a table that cannot say which row changed, a secret that a misspelt name leaves
-- in, and changes of Bulwark's own tables without a trace: all of them are guarded here.
-- SECURITY DEFINER: the trigger functions that make_audit_insert makes, because whoever writes to a
--   guarded table may not write the log.

create function private.make_audit_insert(
  resource_type text,
  key_columns text[],
  organization_column text,
  organization_lookup regproc,
  ignored text[],
  redacted text[],
  event_type text,
  severity text
)
  returns name
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- Not made of the table's name or oid: a rename or a restore gives those to another.
  v_name constant name := 'audit_insert_' || replace(gen_random_uuid()::text, '-', '');
begin
  -- Every value comes from the image of the row, not from its fields: where a column is renamed the
  -- entry lacks it, and the write does not fail.
  execute format(
    'create function private.%I() returns trigger language plpgsql security definer
       set search_path = pg_catalog, pg_temp as %L',
    v_name,
    format(
      $body$
declare
  v_after constant jsonb := to_jsonb(new);
begin
  insert into public.audit_logs (
    source, severity, organization_id, event_type, resource_type, resource_id, action, after
  )
  values ('table', %L, %s, %L, %L, %s, 'insert', %s);
  return null;
end;
$body$,
      severity,
      case
        when organization_column is null then 'null'
        when organization_lookup is null then format('(v_after ->> %L)::uuid', organization_column)
        else format('%s((v_after ->> %L)::uuid)', organization_lookup, organization_column)
      end,
      event_type,
      resource_type,
      case
        when cardinality(key_columns) = 1 then format('v_after ->> %L', key_columns[1])
        else format('private.audit_key(v_after, %L)', key_columns)
      end,
      format(
        'case when %s then private.audit_image(v_after, %L, %L) else v_after end',
        case
          when ignored = '{}' and redacted = '{}' then 'pg_column_size(v_after) > 32768'
          else 'true'
        end,
        ignored, redacted
      )
    )
  );
  -- Its rights are those of the log's owner, whoever guards the table.
  execute format(
    'alter function private.%I() owner to %s', v_name,
    (
      select c.relowner::regrole
      from pg_catalog.pg_class c
      where c.oid = 'public.audit_logs'::regclass
    )
  );
  execute format('revoke all on function private.%I() from public', v_name);
  execute format(
    'comment on function private.%I() is %L',
    v_name, format('Trigger, made by enable_audit: an entry for each row that %s gains.',
      resource_type)
  );
  return v_name;
end;
$$;
comment on function private.make_audit_insert(
  text, text[], text, regproc, text[], text[], text, text
) is
  'Makes the trigger function for inserts into one table, with its options written out: an insert is
   the write that is most often waited for, and reading options costs it a tenth.';

create function private.drop_audit_triggers(target regclass)
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
  -- Of this table, and of those that were dropped since.
  for v_name in
    select p.proname
    from pg_catalog.pg_proc p
    where p.pronamespace = 'private'::regnamespace
      and p.proname ~ '^audit_insert_[0-9a-f]{32}$'
      and not exists (select from pg_catalog.pg_trigger t where t.tgfoid = p.oid)
  loop
    execute format('drop function private.%I()', v_name);
  end loop;
end;
$$;
comment on function private.drop_audit_triggers(regclass) is
  'Takes the audit''s triggers off a table, whatever options they were made with, and drops the
   functions that make_audit_insert made and no table needs any more.';

create function private.disable_audit(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from private.audit_guards g where g.relation = target and g.captures;
  if not found then
    raise exception 'Cannot disable audit: % is not guarded', target
      using errcode = 'PT404', detail = 'AUDIT_NOT_GUARDED';
  end if;
  perform private.drop_audit_triggers(target);
end;
$$;
comment on function private.disable_audit(regclass) is
  'Stops guarding a table; the lost row of audit_guards is itself an entry. Errors:
   AUDIT_NOT_GUARDED.';

create function private.enable_audit(
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
  v_severities text[];
  v_trigger text;
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
    select from private.audit_guards g where g.relation = target and not g.captures
  ) then
    raise exception 'Cannot enable audit: % is not a table that can be guarded', target
      using errcode = 'wrong_object_type', detail = 'AUDIT_NOT_A_TABLE',
            hint = 'Guard the tables under a view; the audit log guards itself';
  end if;
  if bulk and exists (
    select from pg_catalog.pg_class c where c.oid = target and c.relkind = 'p'
  ) then
    raise exception 'Cannot enable audit: % has partitions, which are also written to directly',
      target
      using errcode = 'wrong_object_type', detail = 'AUDIT_NOT_A_TABLE',
            hint = 'Guard it without bulk: then every write to a partition is an entry';
  end if;
  select array_agg(a.attname order by k.place) into v_key
  from pg_catalog.pg_index i
  cross join unnest(i.indkey) with ordinality as k (attnum, place)
  join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
  where i.indrelid = target and i.indisprimary;
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
      using errcode = 'undefined_column', detail = 'AUDIT_UNKNOWN_COLUMN';
  end if;
  if redact && v_key then
    raise exception 'Cannot enable audit: a key column names the row and cannot be redacted'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_KEY_REDACTED';
  end if;
  if (
    select a.atttypid <> 'uuid'::regtype
    from pg_catalog.pg_attribute a
    where a.attrelid = target and a.attname = organization_column
  ) or (organization_lookup is not null and organization_column is null) then
    raise exception 'Cannot enable audit: the organization column is not of type uuid'
      using errcode = 'datatype_mismatch', detail = 'AUDIT_INVALID_ORGANIZATION_COLUMN';
  end if;
  select array_agg(t.severity::text order by e.place) into v_severities
  from unnest(event_types) with ordinality as e (name, place)
  join public.audit_event_types t on t.name = e.name;
  if cardinality(event_types) <> 3 or cardinality(v_severities) is distinct from 3 then
    raise exception 'Cannot enable audit: insert, update and delete each need a known event type'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from audit_event_types';
  end if;

  perform private.drop_audit_triggers(target);
  foreach v_trigger in array case
    when bulk then array[
      'bulwark_audit_insert', 'bulwark_audit_update', 'bulwark_audit_delete',
      'bulwark_audit_truncate'
    ]
    else array['bulwark_audit', 'bulwark_audit_insert', 'bulwark_audit_truncate']
  end loop
    execute format(
      'create trigger %I after %s on %s %s for each %s %s
         execute function private.%I(%L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L)',
      v_trigger,
      case v_trigger
        when 'bulwark_audit' then 'update or delete'
        when 'bulwark_audit_insert' then 'insert'
        when 'bulwark_audit_update' then 'update'
        when 'bulwark_audit_delete' then 'delete'
        else 'truncate'
      end,
      target,
      case when not bulk then null else case v_trigger
        when 'bulwark_audit_insert' then 'referencing new table as new_rows'
        when 'bulwark_audit_update' then
          'referencing old table as old_rows new table as new_rows'
        when 'bulwark_audit_delete' then 'referencing old table as old_rows'
      end end,
      case when bulk or v_trigger = 'bulwark_audit_truncate' then 'statement' else 'row' end,
      case when direct_only then 'when (pg_trigger_depth() = 0)' end,
      case
        when v_trigger = 'bulwark_audit_truncate' then 'audit_truncate'
        when bulk then 'audit_rows'
        when v_trigger = 'bulwark_audit_insert' then private.make_audit_insert(
          v_name, v_key, organization_column, organization_lookup, ignore, redact, event_types[1],
          v_severities[1]
        )
        else 'audit_row'
      end,
      v_name, v_key, coalesce(organization_column, ''), coalesce(organization_lookup::text, ''),
      ignore, redact, event_types[1], event_types[2], event_types[3], v_severities[1],
      v_severities[2], v_severities[3]
    );
    -- Always: session_replication_role skips ordinary triggers.
    execute format('alter table %s enable always trigger %I', target, v_trigger);
  end loop;
  insert into private.audit_guards (relation, options, fingerprint)
  values (
    target,
    jsonb_build_object(
      'organization_column', organization_column, 'ignore', ignore, 'redact', redact, 'bulk', bulk,
      'event_types', event_types, 'organization_lookup', organization_lookup,
      'direct_only', direct_only
    ),
    private.audit_fingerprint(target)
  )
  on conflict (relation) do update
    set options = excluded.options, fingerprint = excluded.fingerprint, enabled_at = now();
end;
$$;
comment on function private.enable_audit(
  regclass, text, text[], text[], boolean, text[], regproc, boolean
) is
  'Guards a table: from now on every insert, update (what changed), delete and truncate leaves an
   entry. organization_column (uuid) says whose it is, organization_lookup (uuid to uuid) finds it
   where the column only leads there; ignore leaves columns out, redact masks them; bulk writes the
   entries of a statement at once; event_types are those of insert, update and delete; direct_only
   skips what other triggers do. Calling it again replaces the options; do so after renaming the
   table. Errors: AUDIT_NOT_A_TABLE, AUDIT_NO_PRIMARY_KEY, AUDIT_UNKNOWN_COLUMN, AUDIT_KEY_REDACTED,
   AUDIT_INVALID_ORGANIZATION_COLUMN, AUDIT_UNKNOWN_EVENT_TYPE, AUDIT_NULL_ARGUMENT.';

create function private.role_organization(role_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$ select r.organization_id from public.roles r where r.id = role_organization.role_id; $$;
comment on function private.role_organization(uuid) is 'The organization that made a role, if one
   did.';

create function private.invitation_organization(invitation_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select i.organization_id
  from public.invitations i where i.id = invitation_organization.invitation_id;
$$;
comment on function private.invitation_organization(uuid) is 'The organization that sent an
   invitation.';

-- First the list of guards: whatever happens to it from here on is an entry, by whichever path.
select private.enable_audit(
  'private.audit_guards', event_types => '{config.changed,config.changed,config.changed}'
);
select private.enable_audit('public.organizations', organization_column => 'id');
select private.enable_audit('public.permissions');
select private.enable_audit('public.roles', organization_column => 'organization_id');
select private.enable_audit(
  'public.role_permissions', organization_column => 'role_id',
  organization_lookup => 'private.role_organization',
  event_types => '{authz.permission_granted,data.update,data.delete}'
);
select private.enable_audit(
  'public.role_inheritance', organization_column => 'role_id',
  organization_lookup => 'private.role_organization'
);
select private.enable_audit(
  'public.user_roles', organization_column => 'organization_id',
  event_types => '{authz.role_assigned,authz.role_assigned,authz.role_removed}'
);
select private.enable_audit('public.invitations', organization_column => 'organization_id');
select private.enable_audit(
  'private.invitation_tokens', organization_column => 'invitation_id',
  organization_lookup => 'private.invitation_organization', ignore => '{token_hash}'
);
-- A closure is no news while triggers keep it; whoever writes it by hand gives himself rights.
select private.enable_audit(
  'private.effective_permissions', organization_column => 'role_id',
  organization_lookup => 'private.role_organization', direct_only => true
);
select private.enable_audit('private.reserved_slugs');
select private.enable_audit(
  'private.settings', event_types => '{settings.updated,settings.updated,settings.updated}'
);
select private.enable_audit(
  'public.audit_event_types', event_types => '{config.changed,config.changed,config.changed}'
);

-- The log watches its own protection the same way.
insert into private.audit_guards (relation, captures, fingerprint)
select r, false, private.audit_fingerprint(r)
from unnest('{public.audit_logs, private.audit_eras}'::regclass[]) as r;

revoke all on function
  private.make_audit_insert(text, text[], text, regproc, text[], text[], text, text),
  private.drop_audit_triggers(regclass), private.disable_audit(regclass),
  private.enable_audit(regclass, text, text[], text[], boolean, text[], regproc, boolean),
  private.role_organization(uuid), private.invitation_organization(uuid)
  from public, anon, authenticated, service_role;
