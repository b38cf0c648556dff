-- Subject export: everything that names a person, page by page, for the person and for those who
-- may erase it (GDPR Art. 15 and 20).
-- Protects against a stolen password that takes a life's data (a second factor is asked for if
-- there is one), against an organization that reads another's data about the same person, and
-- against a person who learns through it who acted on them, and against an account that only claims
-- another's address. Each page is an entry of the log.
-- SECURITY DEFINER: export_subject, because no client reads these tables.

create function bulwark_private.subject_account(user_id uuid, organization_id uuid)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  c_kept constant text[] := array[
    'id', 'email', 'phone', 'created_at', 'updated_at', 'email_confirmed_at', 'phone_confirmed_at',
    'last_sign_in_at', 'banned_until', 'deleted_at', 'raw_user_meta_data', 'provider',
    'identity_data', 'ip', 'user_agent', 'aal', 'not_after', 'refreshed_at', 'friendly_name',
    'factor_type', 'status', 'is_anonymous'
  ];
  v_found jsonb;
  v_rows jsonb := '[]'::jsonb;
  v_table text;
begin
  if organization_id is not null then
    select coalesce(
      jsonb_agg(jsonb_build_object(
        'source', 'auth.users', 'names', array['id'],
        'row', jsonb_build_object(
          'id', p.user_id, 'email', p.email,
          'name', bulwark_private.printable_name(p.said_name)
        )
      )),
      '[]'
    ) into v_rows
    from bulwark_private.people p
    where p.user_id = subject_account.user_id
      and exists (
        select from bulwark_private.unexpired_grants g
        where g.user_id = p.user_id and g.organization_id = subject_account.organization_id
      );
    return v_rows;
  end if;
  foreach v_table in array array['users', 'identities', 'sessions', 'mfa_factors'] loop
    continue when to_regclass('auth.' || v_table) is null;
    execute format(
      $query$
        select jsonb_agg(
          jsonb_build_object(
            'source', %L::text, 'names', array[%L::text],
            'row', (
              select jsonb_object_agg(e.key, e.value)
              from jsonb_each(to_jsonb(t)) e where e.key = any ($2)
            )
          )
        )
        from (select * from auth.%I t where t.%I = $1 limit 1000) t
      $query$,
      'auth.' || v_table, case v_table when 'users' then 'id' else 'user_id' end,
      v_table, case v_table when 'users' then 'id' else 'user_id' end
    ) into v_found using user_id, c_kept;
    v_rows := v_rows || coalesce(v_found, '[]');
  end loop;
  return v_rows;
end;
$$;
comment on function bulwark_private.subject_account(uuid, uuid) is
  'Data of Supabase Auth about a person, without tokens and hashes; of a member of an organization
   only the name and the address.';

create function bulwark_private.subject_sources()
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array['account'] || array(
    select distinct p.relation::text from bulwark_private.personal_columns() p
    where p.names <> 'part' and p.relation <> 'bulwark.audit_logs'::regclass
    union
    select t.relation::text from bulwark_private.personal_tables t
    join pg_catalog.pg_class c on c.oid = t.relation
    order by 1
  ) || array['log'];
$$;
comment on function bulwark_private.subject_sources() is
  'Where an export looks, in its order: the account, each table, and the log.';

create function bulwark_private.subject_is_known(user_id uuid, organization_id uuid)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- An organization exports only persons it knows, so that it cannot probe for accounts.
  select exists (
    select from auth.users u
    where u.id = subject_is_known.user_id and subject_is_known.organization_id is null
  ) or exists (
    select from bulwark.user_roles g
    where g.user_id = subject_is_known.user_id
      and g.organization_id = subject_is_known.organization_id
  ) or exists (
    select from bulwark_private.departures d
    where d.user_id = subject_is_known.user_id
      and d.organization_id = subject_is_known.organization_id
  ) or exists (
    select from bulwark_private.invitation_accounts a
    join bulwark.invitations i on i.id = a.invitation_id
    where a.user_id = subject_is_known.user_id
      and (subject_is_known.organization_id is null
        or i.organization_id = subject_is_known.organization_id)
  ) or exists (
    select from bulwark.audit_logs e
    where e.actor_id = subject_is_known.user_id
      and (subject_is_known.organization_id is null
        or e.organization_id = subject_is_known.organization_id)
  );
$$;
comment on function bulwark_private.subject_is_known(uuid, uuid) is
  'Whether a person has an account (in an organization: has or had a role there), was invited, or
   made an entry of the log.';

create function bulwark_private.own_addresses(user_id uuid)
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array(
    select e.email from (select bulwark_private.confirmed_email()) e (email)
    where e.email is not null
    union
    select i.email from bulwark.invitations i where i.accepted_by = own_addresses.user_id
  );
$$;
comment on function bulwark_private.own_addresses(uuid) is
  'The addresses that the caller has proved to be theirs: the confirmed one, and those of accepted
   invitations. An account with another''s address, unconfirmed or of an identity provider, gets
   nothing of theirs.';

create function bulwark.export_subject(
  user_id uuid default null,
  organization_id uuid default null,
  after text default null,
  page_size integer default 500
)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because no client reads these tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_addresses text[];
  v_key text;
  v_own boolean := false;
  v_page record;
  v_rows jsonb := '[]'::jsonb;
  v_source integer := 1;
  v_sources constant text[] := bulwark_private.subject_sources();
  v_started constant timestamptz := clock_timestamp();
  v_user uuid := user_id;
  v_withheld bigint := 0;
begin
  if not bulwark_private.caller_is_service() then
    v_own := bulwark_private.require_user() = coalesce(user_id, bulwark.current_person())
      and organization_id is null;
  end if;
  if v_own then
    v_user := bulwark.current_person();
  else
    perform bulwark.require_permission('compliance:manage', organization_id);
    if v_user is null then
      raise exception 'Cannot export subject: the person is null'
        using errcode = 'null_value_not_allowed', detail = 'COMPLIANCE_NULL_ARGUMENT';
    end if;
    if not bulwark_private.subject_is_known(v_user, organization_id) then
      raise exception 'Cannot export subject: nobody is known by that id'
        using errcode = 'PT404', detail = 'COMPLIANCE_UNKNOWN_SUBJECT',
          hint = 'Pass the id of auth.users; after a deletion, the id that the log has';
    end if;
  end if;
  if not bulwark_private.caller_is_service()
    and bulwark_private.has_second_factor(bulwark.current_person()) then
    perform bulwark_private.require_step_up();
  end if;
  if page_size between 1 and 5000 is not true then
    raise exception 'Cannot export subject: a page has 1 to 5000 rows'
      using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_LIMIT';
  end if;
  if after is not null then
    -- The longest name that fits, because the name of a table may have spaces.
    v_source := (
      select s.place
      from unnest(v_sources) with ordinality as s (name, place)
      where starts_with(after, s.name || ' ')
      order by length(s.name) desc
      limit 1
    );
    v_key := nullif(substr(after, length(v_sources[v_source]) + 2), '');
    if v_source is null or length(after) > 4000 or v_key !~ '^\[.+\]$' then
      raise exception 'Cannot export subject: the cursor is not one of this export'
        using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_CURSOR';
    end if;
  end if;
  -- An export that leaves out a column would look complete.
  if exists (
    select from bulwark_private.personal_tables t
    join pg_catalog.pg_class c on c.oid = t.relation
    where 0 < (
      select count(*) from unnest(array[t.person_column, t.organization_column]) as n
      where n is not null and not exists (
        select from pg_catalog.pg_attribute a
        where a.attrelid = t.relation and a.attname = n and not a.attisdropped
      )
    )
  ) then
    raise exception 'Cannot export subject: a declared column is gone'
      using errcode = 'undefined_column', detail = 'COMPLIANCE_INVALID_COLUMN',
            hint = 'Call declare_personal_data again for the table';
  end if;
  -- One at a time, because each page may read a part of the log.
  if not pg_try_advisory_xact_lock(
    hashtextextended('bulwark.subject_export/' || coalesce(bulwark.current_person(), v_user), 0)
  ) then
    raise exception 'Cannot export subject: another page is being made'
      using errcode = 'PT409', detail = 'COMPLIANCE_EXPORT_RUNNING',
        hint = 'Wait for that page, then ask again';
  end if;
  v_addresses := case
    when v_own then bulwark_private.own_addresses(v_user)
    else bulwark_private.addresses_of(v_user, organization_id)
  end;
  while v_source <= cardinality(v_sources) loop
    if v_sources[v_source] = 'account' then
      v_rows := v_rows || bulwark_private.subject_account(v_user, organization_id);
      v_key := null;
    elsif v_sources[v_source] = 'log' then
      select * into v_page from bulwark_private.subject_entries(
        v_user, v_addresses, organization_id, v_key, v_own
      );
      v_rows := v_rows || v_page.rows;
      v_withheld := v_withheld + v_page.withheld;
      v_key := v_page.next_after;
    elsif v_own and exists (
      select from bulwark_private.personal_columns() p
      where p.relation = v_sources[v_source]::regclass and p.withheld
    ) then
      v_key := null;
    else
      select * into v_page from bulwark_private.subject_rows(
        v_sources[v_source]::regclass, v_user, v_addresses, organization_id, v_key, page_size, v_own
      );
      v_rows := v_rows || v_page.rows;
      v_key := v_page.next_after;
    end if;
    if v_key is null then
      v_source := v_source + 1;
    end if;
    exit when jsonb_array_length(v_rows) >= page_size
      or clock_timestamp() - v_started > interval '2 seconds';
  end loop;
  -- Last, so that nobody loses the right while a page is made and gets it all the same.
  if not v_own then
    perform bulwark_private.require_permission_to_act('compliance:manage', organization_id);
  end if;
  perform bulwark_private.append_audit_entry(
    'compliance.export', organization_id, 'auth.users', action => 'export_subject',
    details => jsonb_build_object(
      'subject', bulwark_private.audit_subject(v_user), 'own', v_own,
      'rows', jsonb_array_length(v_rows), 'continued', after is not null
    )
  );
  return jsonb_build_object(
    'subject', v_user,
    'rows', v_rows,
    'withheld', v_withheld,
    'archived', bulwark_private.archived_audit_months(organization_id, null, null),
    'next', case when v_source <= cardinality(v_sources)
      then concat(v_sources[v_source], ' ', v_key) end
  );
end;
$$;
comment on function bulwark.export_subject(uuid, uuid, text, integer) is
  'All data about a person: a page of rows of { source, names, row }, where names are the columns
   that name them, of the account, our tables, tables of declare_personal_data and the log. next
   continues as after, and is null at the end; a page takes about two seconds. A caller who has a
   second factor needs a fresh one. For the person (null: oneself) without what others did to them
   in detail, investigations and holds (withheld counts such entries), and for compliance:manage:
   system-wide of everything, in an organization of what is the organization''s. archived lists
   months that are in the archive instead. Errors: COMPLIANCE_UNKNOWN_SUBJECT,
   COMPLIANCE_NULL_ARGUMENT,
   COMPLIANCE_INVALID_LIMIT, COMPLIANCE_INVALID_CURSOR, COMPLIANCE_INVALID_COLUMN,
   COMPLIANCE_EXPORT_RUNNING,
   RBAC_PERMISSION_DENIED, MFA_VERIFICATION_REQUIRED, MFA_REQUIRED.';
