-- API keys, eligibility of tables: why a table cannot be opened to keys, also as later changes make
-- it.
-- Protects against access that no policy of the table controls: inheritance, cascades, rules and
-- ownership. Protects against restrictive policies that ask for a person: a key has no person.
-- No function here is SECURITY DEFINER.

create function bulwark_private.depends_on_row_only(expression text)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- An allow list: an unknown function or query may depend on the person, and so may one of the
  -- same name in another schema.
  select expression is null
    or bulwark_private.plain_permission_policy(expression)
    or regexp_replace(
      expression, '(?<!\.)\m(coalesce|greatest|least|nullif|now|lower|upper|length)\(', '(', 'gi'
    ) !~* ('[[:alnum:]_"]\(|(?<!")\m(select|user|current_user|current_role|session_user'
      || '|system_user|current_catalog|current_schema)\M');
$$;
comment on function bulwark_private.depends_on_row_only(text) is
  'Whether a policy''s expression, as printed by Postgres, depends only on the row, the time or a
   permission, so that a key gets the same result as its owner, or a narrower one.';

create function bulwark_private.mfa_required_tables_behind(target regclass, commands text[])
  returns setof regclass
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  with recursive above (oid) as (
    select target::oid
    union
    select i.inhparent from above a join pg_catalog.pg_inherits i on i.inhrelid = a.oid
  ),
  below (oid, command) as (
    select target::oid, c.command from unnest(commands) as c (command)
    union
    select e.oid, e.command
    from below b
    cross join lateral (
      select i.inhrelid, b.command from pg_catalog.pg_inherits i where i.inhparent = b.oid
      union all
      -- Cascades run as the table's owner, who is not subject to policies.
      select k.conrelid, case when k.confdeltype = 'c' then b.command else 'update' end
      from pg_catalog.pg_constraint k
      where k.contype = 'f'
        and k.confrelid = b.oid
        and case b.command when 'delete' then k.confdeltype when 'update' then k.confupdtype end
          in ('c', 'n', 'd')
        and (
          b.command = 'delete'
          or b.oid <> target
          or exists (
            select from unnest(k.confkey) as c (number)
            where has_column_privilege('authenticated', target, c.number, 'update')
          )
        )
    ) as e (oid, command)
  )
  select g.relation
  from bulwark_private.mfa_required_tables g
  where g.relation in (select a.oid from above a union all select b.oid from below b)
  order by g.relation::text collate "C";
$$;
comment on function bulwark_private.mfa_required_tables_behind(regclass, text[]) is
  'The tables with an MFA requirement that these commands on a table would bypass: the table itself,
   its parents, its partitions and children, and the targets of cascading foreign keys.';

create function bulwark_private.api_key_eligibility_problems(target regclass, commands text[])
  returns table (code text, problem text, hint text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  select
    'API_KEY_TABLE_WITHOUT_RLS',
    format('%s is not a permanent table with row-level security', target),
    'Enable row level security on it, and give it policies of its own'
  where not exists (
    select from pg_catalog.pg_class c
    where c.oid = target and c.relkind in ('r', 'p') and c.relpersistence <> 't'
      and c.relrowsecurity
  )
  union all
  select
    'API_KEY_TABLE_OF_BULWARK', format('%s is Bulwark''s own', target),
    'Programs get its contents from functions'
  where bulwark_private.is_of_bulwark(target)
  union all
  select
    'API_KEY_SCHEMA_CLOSED', format('%s may not use the schema of %s', r.role, target),
    format('grant usage on schema %s to %s; functions in it that anybody may call open with it',
      c.relnamespace::regnamespace, r.role)
  from pg_catalog.pg_class c
  cross join unnest('{authenticated, api_key}'::name[]) as r (role)
  where c.oid = target and not has_schema_privilege(r.role, c.relnamespace, 'usage')
  union all
  select
    'API_KEY_TABLE_NEEDS_MFA',
    case
      when g = target then format('%s has an MFA requirement', target)
      else format('%s would bypass the MFA requirement of %s', target, g)
    end,
    'A key never counts as a second factor'
  from bulwark_private.mfa_required_tables_behind(target, commands) as g
  union all
  -- Recognizes an MFA requirement in the host application's own policies by the functions and
  -- claims it uses.
  select
    'API_KEY_TABLE_NEEDS_MFA',
    format('people need a second factor for %s on %s', upper(c.command), target),
    'A key never counts as a second factor'
  from unnest(commands) as c (command)
  where (
    select bool_and(
      concat_ws(' ', pg_get_expr(p.polqual, target), pg_get_expr(p.polwithcheck, target))
        ~ '\mmfa_verified\(|''aal'
    )
    from pg_catalog.pg_policy p
    where p.polrelid = target
      and p.polpermissive
      and p.polcmd::text in ('*', translate(left(c.command, 1), 'siud', 'rawd'))
      and bulwark_private.applies_to(p.polroles, 'authenticated')
  )
  union all
  select
    'API_KEY_RESTRICTION_UNCLEAR',
    format('the restrictive policy %I of %s depends on more than the row', p.polname, target),
    'If it is right for keys as it is, write it for named roles, api_key among them'
  from pg_catalog.pg_policy p
  where p.polrelid = target
    and not p.polpermissive
    and bulwark_private.applies_to(p.polroles, 'authenticated')
    and 'api_key'::regrole::oid <> all (p.polroles)
    and (
      bulwark_private.depends_on_row_only(pg_get_expr(p.polqual, p.polrelid)) is not true
      or bulwark_private.depends_on_row_only(pg_get_expr(p.polwithcheck, p.polrelid)) is not true
    )
  union all
  select
    'API_KEY_TABLE_OPEN_OTHERWISE', format('the rules of %s act with its owner''s rights', target),
    'Replace the rule by a trigger'
  where exists (select from pg_catalog.pg_rewrite w where w.ev_class = target and w.ev_type <> '1')
  union all
  select
    'API_KEY_TABLE_OPEN_OTHERWISE', format('API keys have the rights of the owner of %s', target),
    'Policies do not apply to the owner of a table'
  from pg_catalog.pg_class c
  where c.oid = target and pg_has_role('api_key', c.relowner, 'usage')
  union all
  select distinct
    'API_KEY_TABLE_OPEN_OTHERWISE',
    format('%s lets API keys %s, to which policies do not apply', target, lower(g.privilege_type)),
    'Revoke it from public and from api_key'
  from (
    select c.relacl from pg_catalog.pg_class c where c.oid = target
    union all
    select a.attacl from pg_catalog.pg_attribute a where a.attrelid = target
  ) as o (acl)
  cross join pg_catalog.aclexplode(o.acl) as g
  where g.grantee in (0, 'api_key'::regrole)
    and g.privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE');
$$;
comment on function bulwark_private.api_key_eligibility_problems(regclass, text[]) is
  'The reasons why a table cannot be opened to keys for these commands, with error code and hint;
   empty where it can.';
