-- Objects outside of Bulwark's schemas that would go with them, and functions that name them.
-- `made` is true for what Bulwark made on the host's tables: triggers, policies and constraints.
with recursive ours (oid) as (
  select n.oid from pg_namespace n where n.nspname in ('bulwark', 'bulwark_private')
),
walk (classid, objid, objsubid) as (
  select 'pg_namespace'::regclass::oid, o.oid, 0 from ours o
  union
  select t.classid, t.objid, t.objsubid
  from walk w
  cross join lateral (
    select d.classid, d.objid, d.objsubid
    from pg_depend d
    where d.refclassid = w.classid and d.refobjid = w.objid
      and (w.objsubid = 0 or d.refobjsubid = w.objsubid)
    union all
    -- The rule of a view takes the view along.
    select 'pg_class'::regclass::oid, r.ev_class, 0
    from pg_rewrite r
    where w.classid = 'pg_rewrite'::regclass and r.oid = w.objid
  ) t
),
-- The schema of each object, or of the table that it belongs to; null for objects in none.
homes as (
  select w.classid, w.objid, w.objsubid, h.schema, h.name
  from walk w
  cross join lateral (
    select c.relnamespace, null::name from pg_class c
    where w.classid = 'pg_class'::regclass and c.oid = w.objid
    union all
    select p.pronamespace, null from pg_proc p
    where w.classid = 'pg_proc'::regclass and p.oid = w.objid
    union all
    select t.typnamespace, null from pg_type t
    where w.classid = 'pg_type'::regclass and t.oid = w.objid
      and t.typrelid = 0 and t.typelem = 0
    union all
    select c.relnamespace, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where w.classid = 'pg_trigger'::regclass and t.oid = w.objid and not t.tgisinternal
    union all
    select c.relnamespace, p.polname from pg_policy p join pg_class c on c.oid = p.polrelid
    where w.classid = 'pg_policy'::regclass and p.oid = w.objid
    union all
    select k.connamespace, k.conname from pg_constraint k
    where w.classid = 'pg_constraint'::regclass and k.oid = w.objid
    union all
    select c.relnamespace, null from pg_attrdef a join pg_class c on c.oid = a.adrelid
    where w.classid = 'pg_attrdef'::regclass and a.oid = w.objid
  ) as h (schema, name)
)
select i.type || ' ' || i.identity as object, coalesce(h.name ~ '^bulwark_', false) as made
from homes h
cross join lateral pg_identify_object(h.classid, h.objid, h.objsubid) i
where h.schema <> all (array(select o.oid from ours o))
  and h.schema <> 'pg_toast'::regnamespace
union
select format('function %s, which names bulwark in its text', p.oid::regprocedure), false
from pg_proc p
where p.pronamespace <> all (array(select o.oid from ours o))
  and p.pronamespace <> 'pg_catalog'::regnamespace
  and p.prosqlbody is null
  and p.prosrc ~ '\mbulwark(_private)?\.'
  and not exists (
    select from pg_depend d
    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
order by 1
