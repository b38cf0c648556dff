-- API keys, what an admission follows from: of a table's policies and privileges for people, those
-- that make sense for a program, and what Bulwark then made of them, in a form that compares.
-- Protects against a key that gets by a table what no person has there: a condition that is more
-- than a permission counts for nothing, a restriction counts whoever it names.
-- No function here is SECURITY DEFINER.

create table bulwark_private.api_key_admissions (
  relation regclass primary key,
  options jsonb not null,
  derived jsonb not null,
  made jsonb not null,
  admitted_at timestamptz not null default now()
);
comment on table bulwark_private.api_key_admissions is
  'The tables that admit API keys: as they were asked to, what followed from their policies and
   privileges then, and what was made of it.';
alter table bulwark_private.api_key_admissions enable row level security;

create function bulwark_private.plain_permission_policy(expression text)
  returns boolean
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    expression ~ ('^\(([a-z_][a-z0-9_]*|"([^"]|"")+") = ANY \(ARRAY\( SELECT '
      || 'bulwark\.organizations_with\(''[a-z0-9_:]+''::text\) AS organizations_with\)\)\)$'),
    false
  );
$$;
comment on function bulwark_private.plain_permission_policy(text) is
  'Whether a policy''s expression, as Postgres writes it, is a permission in the row''s organization
   and nothing else: <column> = any (array(select bulwark.organizations_with(''x:y''))).';

create function bulwark_private.applies_to(roles oid[], member name)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from unnest(roles) as r (role)
    where r.role = 0 or pg_has_role(member, r.role, 'usage')
  );
$$;
comment on function bulwark_private.applies_to(oid[], name) is
  'Whether a policy for these roles is one for a member: 0 is everybody.';

create function bulwark_private.api_key_policies_of(target regclass, options jsonb)
  returns table (command text, using_expression text, check_expression text)
  language plpgsql
  stable
  rows 4
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_permission text;
begin
  if options <> '{}' then
    for command, v_permission in
      select c.command, options ->> c.option
      from (values
        ('select', 'read'), ('insert', 'write'), ('update', 'write'), ('delete', 'delete')
      ) as c (command, option)
      where options ? c.option
    loop
      using_expression := format(
        '(%I = ANY (ARRAY( SELECT bulwark.organizations_with(%L::text) AS organizations_with)))',
        options ->> 'organization_column', v_permission
      );
      check_expression := using_expression;
      return next;
    end loop;
    return;
  end if;
  return query
    select
      c.command,
      -- In an order that no collation changes: a restored dump may have another.
      string_agg(distinct e.using_expression collate "C", ' OR '),
      string_agg(distinct e.check_expression collate "C", ' OR ')
    from (values ('select', 'r'::"char"), ('insert', 'a'), ('update', 'w'), ('delete', 'd'))
      as c (command, code)
    join pg_catalog.pg_policy p
      on p.polrelid = target
      and p.polcmd in (c.code, '*')
      and p.polpermissive
      and p.polroles && array[0::oid, 'authenticated'::regrole::oid]
    cross join lateral (
      select
        pg_get_expr(p.polqual, p.polrelid),
        coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid))
    ) as e (using_expression, check_expression)
    where (c.command = 'insert' or bulwark_private.plain_permission_policy(e.using_expression))
      and (
        c.command not in ('insert', 'update')
        or bulwark_private.plain_permission_policy(e.check_expression)
      )
    group by c.command;
end;
$$;
comment on function bulwark_private.api_key_policies_of(regclass, jsonb) is
  'What an admission makes of a table: for each command the condition under which a key may. Without
   options: those policies for signed-in people that are a permission in the row''s organization and
   nothing else, joined by or; any other policy gives a key nothing.';

create function bulwark_private.sequences_of(target regclass)
  returns setof regclass
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  select d.objid::regclass
  from pg_catalog.pg_depend d
  join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
  where d.refclassid = 'pg_class'::regclass and d.refobjid = target and d.deptype = 'a';
$$;
comment on function bulwark_private.sequences_of(regclass) is
  'The sequences of a table''s serial columns; an identity column''s is asked of nobody.';

create function bulwark_private.api_key_derivation(target regclass, options jsonb)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'commands', jsonb_object_agg(
      p.command,
      jsonb_build_object(
        'using', p.using_expression,
        'check', p.check_expression,
        -- Null: the whole table; commands that a key gets on no column at all have an empty list.
        'columns', case
          when not has_table_privilege('authenticated', target, p.command) then coalesce(
            (
              select jsonb_agg(a.attname order by a.attnum)
              from pg_catalog.pg_attribute a
              where a.attrelid = target
                and a.attnum > 0
                and not a.attisdropped
                and p.command <> 'delete'
                and has_column_privilege(
                  'authenticated', target, a.attnum,
                  case when p.command = 'delete' then 'select' else p.command end
                )
            ),
            '[]'
          )
        end
      )
    ),
    'sequences', (
      select jsonb_agg(s.sequence::text order by s.sequence::text collate "C")
      from bulwark_private.sequences_of(target) as s (sequence)
      where has_sequence_privilege('authenticated', s.sequence, 'usage')
    ),
    -- What restricts people restricts keys; what names everybody or keys does so by itself.
    'copies', (
      select jsonb_agg(to_jsonb(r) - 'name' - 'roles' order by r.name collate "C")
      from bulwark_private.policies_of(target, '') r
      join pg_catalog.pg_policy o on o.polrelid = target and o.polname::text = r.name
      where not r.permissive
        and bulwark_private.applies_to(o.polroles, 'authenticated')
        and not bulwark_private.applies_to(o.polroles, 'api_key')
    )
  )
  from bulwark_private.api_key_policies_of(target, options) p
  having count(*) > 0;
$$;
comment on function bulwark_private.api_key_derivation(regclass, jsonb) is
  'All that an admission makes a table''s policies and privileges out of, as it is now; null where
   nothing is to be admitted.';

create function bulwark_private.api_key_privileges(target regclass)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_agg(p.granted order by p.granted::text collate "C"), '[]')
  from (
    select jsonb_build_array(
      g.privilege_type || case when g.is_grantable then ', and to grant it' else '' end, o.name
    ) as granted
    from (
      select c.relacl, null from pg_catalog.pg_class c where c.oid = target
      union all
      select a.attacl, a.attname
      from pg_catalog.pg_attribute a where a.attrelid = target and not a.attisdropped
      union all
      select c.relacl, c.relname
      from bulwark_private.sequences_of(target) as s (sequence)
      join pg_catalog.pg_class c on c.oid = s.sequence
    ) as o (acl, name)
    cross join pg_catalog.aclexplode(o.acl) as g
    where g.grantee = 'api_key'::regrole
  ) p;
$$;
comment on function bulwark_private.api_key_privileges(regclass) is
  'What a table, each of its columns and the sequences of its serial columns grant to API keys.';

create function bulwark_private.api_key_admission_state(target regclass)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'policies', (
      select jsonb_agg(to_jsonb(p) order by p.name collate "C")
      from bulwark_private.policies_of(target, 'bulwark_api_key_') p
    ),
    'privileges', bulwark_private.api_key_privileges(target)
  );
$$;
comment on function bulwark_private.api_key_admission_state(regclass) is
  'The policies and privileges by which a table admits API keys, as they are now.';

select bulwark.enable_audit(
  'bulwark_private.api_key_admissions',
  event_types => '{config.changed,config.changed,config.changed}'
);
