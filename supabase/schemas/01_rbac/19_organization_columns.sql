-- Organization columns: the organization of a row of the host, by the value of its column. The
-- column has the type of the host's own keys.
-- Protects against a guard that takes a value for another organization: keys are converted in one
-- way only (organization_of), and columns of other types are refused.
-- No function here is SECURITY DEFINER.

create function bulwark_private.organization_expression(
  relation oid,
  column_name text,
  value text
)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when a.atttypid = 'uuid'::regtype then format('(%s)::uuid', value)
    when a.atttypid = any (bulwark_private.host_key_types())
    then format('bulwark_private.organization_of((%s)::text)', value)
  end
  from pg_catalog.pg_attribute a
  where a.attrelid = organization_expression.relation
    and a.attname = organization_expression.column_name
    and a.attnum > 0
    and not a.attisdropped
    -- Where two texts are equal, a policy would take the key of one organization for another's.
    and not exists (
      select from pg_catalog.pg_collation c
      where c.oid = a.attcollation and not c.collisdeterministic
    );
$$;
comment on function bulwark_private.organization_expression(oid, text, text) is
  'SQL text for the organization that a column of a table names, from SQL text for its value. Null
   if the table has no such column or its type holds no organization: it is a uuid, an integer
   type, or text or varchar in a deterministic collation.';

create function bulwark_private.organization_helper(relation oid, column_name text)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when a.atttypid = 'uuid'::regtype then 'organizations_with'
    else (
      select h.helper
      from bulwark_private.host_organizations h
      join pg_catalog.pg_type k on k.oid = h.key_type::regtype
      -- Integers of all sizes are compared with one another, and so are texts.
      where k.typcategory = t.typcategory
    )
  end
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type t on t.oid = a.atttypid
  where a.attrelid = organization_helper.relation
    and a.attname = organization_helper.column_name
    and a.attnum > 0
    and not a.attisdropped
    and bulwark_private.organization_expression(relation, column_name, '') is not null;
$$;
comment on function bulwark_private.organization_helper(oid, text) is
  'The function of schema bulwark that a policy asks for the organizations of a permission, in the
   type of a column: organizations_with or the helper that bulwark.use_organizations made. Null if
   there is none.';
