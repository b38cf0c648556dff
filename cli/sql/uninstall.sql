-- Removes Bulwark from the database: its schemas, its role, its jobs, its hook, and what it made on
-- your tables. Everything else stays as it is. Written by bulwark uninstall; it raises, and changes
-- nothing, while data or objects of yours would go that you did not name.

do $$
declare
  v_drop_audit_data constant boolean := {{audit_data}};
  v_drop_encrypted_data constant boolean := {{encrypted_data}};
  v_drop_dependents constant boolean := {{dependents}};
  v_column record;
  v_found boolean;
  v_jobs text;
  v_list text;
  v_next text;
begin
  if to_regnamespace('bulwark') is null then
    return;
  end if;
  -- A transaction that holds these tables for long must not make sign-ins wait.
  perform set_config('lock_timeout', '10s', true);
  lock table bulwark.audit_logs in access exclusive mode;

  if not v_drop_audit_data and exists (
    select from bulwark.audit_logs l
    where l.organization_id is not null or l.actor_id is not null
      or l.resource_type !~ '^bulwark(_private)?\.' or l.event_type = 'authz.role_assigned'
  ) then
    raise exception 'Cannot uninstall Bulwark: the audit log has entries'
      using errcode = 'object_not_in_prerequisite_state', detail = 'UNINSTALL_AUDIT_DATA',
            hint = 'Export it first, then: bulwark uninstall --with-audit-data';
  end if;

  select string_agg(d.object, '; ') filter (where not d.made) into v_list
  from (
{{dependents_query}}
  ) d;
  if to_regclass('cron.job') is not null then
    execute $query$
      select string_agg(
        format('cron job %s, which names bulwark', coalesce(j.jobname, j.jobid::text)), '; '
      )
      from cron.job j
      where j.command ~ '\mbulwark(_private)?\.' and coalesce(j.jobname, '') not like 'bulwark-%'
    $query$ into v_jobs;
    v_list := nullif(concat_ws('; ', v_list, v_jobs), '');
  end if;
  if v_list is not null and not v_drop_dependents then
    raise exception 'Cannot uninstall Bulwark: these depend on it: %', v_list
      using errcode = 'dependent_objects_still_exist', detail = 'UNINSTALL_DEPENDENTS',
            hint = 'Change or drop them first, or: bulwark uninstall --with-dependents';
  end if;

  -- Columns that hold ciphertext keep it; the constraints and indexes of Bulwark go.
  if to_regclass('bulwark_private.encrypted_columns') is not null then
    for v_column in
      execute 'select e.*, c.relname from bulwark_private.encrypted_columns e
        join pg_class c on c.oid = e.relation
        where c.relnamespace not in (
          to_regnamespace(''bulwark''), to_regnamespace(''bulwark_private'')
        )'
    loop
      execute format(
        'select exists (select from %s where %I is not null)',
        v_column.relation::regclass, v_column.column_name
      ) into v_found;
      if v_found and not v_drop_encrypted_data then
        raise exception 'Cannot uninstall Bulwark: %.% has values that nobody could decrypt',
          v_column.relation::regclass, v_column.column_name
          using errcode = 'object_not_in_prerequisite_state', detail = 'UNINSTALL_ENCRYPTED_DATA',
                hint = 'Decrypt them first, or: bulwark uninstall --with-encrypted-data';
      end if;
      execute format(
        'drop index if exists %s',
        (
          select string_agg(format('%I.%I', n.nspname, x.name), ', ')
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
          cross join unnest(array[
            bulwark_private.object_name(
              array[v_column.relname, v_column.column_name], '_data_key_idx'
            ),
            bulwark_private.object_name(
              array[v_column.relname, v_column.column_name], '_blind_idx'
            )
          ]) as x (name)
          where c.oid = v_column.relation
        )
      );
      execute format(
        'alter table %s drop constraint if exists %I, drop constraint if exists %I%s',
        v_column.relation::regclass,
        bulwark_private.object_name(array[v_column.column_name], '_is_encrypted'),
        bulwark_private.object_name(array[v_column.column_name], '_is_encrypted_index'),
        ', drop column if exists ' || quote_ident(v_column.index_column)
      );
    end loop;
  end if;

  if to_regclass('cron.job') is not null then
    execute 'select cron.unschedule(j.jobid) from cron.job j
      where j.jobname like ''bulwark-%'' and j.username = current_user';
  end if;

  -- The Data API calls the hook that was there before.
  select substring(s.setting from '=(.*)$') into v_next
  from pg_db_role_setting d
  cross join unnest(d.setconfig) as s (setting)
  where d.setrole = 'authenticator'::regrole and d.setdatabase = 0
    and s.setting ~ '^pgrst\.db_pre_request=';
  if v_next = 'bulwark.check_request' then
    select s.value #>> '{}' into v_next
    from bulwark.settings s where s.name = 'rate_limits.next_request_check';
    if v_next is null then
      alter role authenticator reset pgrst.db_pre_request;
    else
      execute format('alter role authenticator set pgrst.db_pre_request = %L', v_next);
    end if;
  end if;
  if to_regclass('bulwark.api_keys') is not null then
    begin
      alter role authenticator reset log_parameter_max_length;
    exception when insufficient_privilege then
      raise notice 'log_parameter_max_length of authenticator is as it was set';
    end;
  end if;
end;
$$;

-- With the schemas go the triggers on the auth schema and on your tables, and policies: each of
-- them is named above, or made by Bulwark.
drop schema if exists bulwark_private, bulwark cascade;

do $$
begin
  if not exists (select from pg_roles r where r.rolname = 'api_key') then
    return;
  end if;
  begin
    -- Dropping what a role was granted needs membership.
    grant api_key to current_user;
    drop owned by api_key;
    drop role api_key;
  exception when dependent_objects_still_exist or insufficient_privilege then
    raise notice 'The role api_key stays: another database or role uses it';
  end;
end;
$$;

notify pgrst, 'reload config';
notify pgrst, 'reload schema';
