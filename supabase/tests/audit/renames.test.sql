-- Renamed columns: an ignored or redacted column never enters the log under another name, and no
-- entry goes to another organization.
begin;
set local search_path = bulwark, public, extensions;
select plan(5);
select tests.create_organizations();

create temporary table sequence (name text, steps text[]);
insert into sequence values
  ('away', '{rename secret to other,rename other to secret}'),
  ('swap', '{rename plain to other,rename secret to plain,rename other to secret}'),
  ('swap the other way', '{rename secret to other,rename plain to secret,rename other to plain}'),
  ('swap with what is redacted',
    '{rename iban to other,rename secret to iban,rename other to secret}'),
  ('three', '{rename plain to other,rename secret to plain,rename iban to secret,
    rename other to iban}'),
  ('dropped first', '{drop plain,rename secret to plain,add secret text}'),
  ('added after', '{rename secret to other,add secret text}'),
  ('added between', '{rename iban to other,add iban text,rename plain to third,
    rename other to plain}'),
  ('dropped and added', '{drop secret,add secret text,drop iban,add iban text}'),
  ('organizations', '{rename organization_id to other,rename partner_id to organization_id,
    rename other to partner_id}'),
  ('organization added', '{rename organization_id to other,rename partner_id to organization_id,
    add partner_id uuid}'),
  ('key', '{rename id to other,rename number to id,rename other to number}');

-- Writes a row with a value for each column by its number, which identifies the original column.
create function pg_temp.write(relation regclass, number integer)
  returns void
  language plpgsql
as $$
declare
  v_columns text;
  v_values text;
begin
  select
    string_agg(quote_ident(a.attname), ', ' order by a.attnum),
    string_agg(
      quote_nullable(
        case
          when a.attnum in (1, 2) then (a.attnum * 1000 + write.number)::text
          when a.attnum in (6, 7) then 'hush'
          when a.attnum = 4 then tests.acme()::text
          when a.atttypid = 'uuid'::regtype then tests.globex()::text
          else 'shown'
        end
      ),
      ', ' order by a.attnum
    )
  into v_columns, v_values
  from pg_attribute a
  where a.attrelid = relation and a.attnum > 0 and not a.attisdropped;
  execute format('insert into %s (%s) values (%s)', relation, v_columns, v_values);
  select string_agg(format('%1$I = %1$I || ''-2''', a.attname), ', ') into v_columns
  from pg_attribute a
  where a.attrelid = relation and a.atttypid = 'text'::regtype and not a.attisdropped;
  execute format('update %s set %s', relation, v_columns);
  execute format('delete from %s', relation);
end;
$$;
-- Runs a sequence and writes rows after each step; then the sealer runs, and more rows follow.
create function pg_temp.entries(steps text[], bulk boolean, looks boolean)
  returns setof bulwark.audit_logs
  language plpgsql
as $$
declare
  v_before constant uuid := (select e.id from bulwark.audit_logs e order by e.id desc limit 1);
  v_step text;
begin
  create table public.renamed (
    id integer primary key, number integer, plain text, organization_id uuid, partner_id uuid,
    secret text, iban text
  );
  perform bulwark.enable_audit(
    'public.renamed', organization_column => 'organization_id', ignore => '{secret}',
    redact => '{iban}', bulk => bulk
  );
  perform pg_temp.write('public.renamed', 1);
  for v_step in select unnest(steps) loop
    execute 'alter table public.renamed ' || btrim(v_step, E' \n');
    if looks then
      perform bulwark_private.inspect_audit_fingerprints();
    end if;
    perform pg_temp.write('public.renamed', 2);
  end loop;
  perform bulwark_private.inspect_audit_fingerprints();
  perform pg_temp.write('public.renamed', 3);
  return query
    select e.* from bulwark.audit_logs e
    where e.resource_type = 'public.renamed' and e.source = 'table' and e.id > v_before;
  perform bulwark.disable_audit('public.renamed');
  drop table public.renamed;
end;
$$;
create temporary table entry as
  select s.name, s.steps, b.bulk, l.looks, e.*
  from sequence s
  cross join (values (false), (true)) as b (bulk)
  cross join (values (false), (true)) as l (looks)
  cross join lateral pg_temp.entries(s.steps, b.bulk, l.looks) e;

select is_empty(
  $$ select name, bulk, looks, before, after from entry
     where concat(before, after) like '%hush%' $$,
  'AUW-01: a column that is ignored or redacted does not come in under another name'
);
select is_empty(
  $$ select name, bulk, looks from entry
     where organization_id is distinct from tests.acme()
       and organization_id is not null $$,
  'AUW-02: no entry goes to an organization that another column names'
);
select is_empty(
  $$ select name, bulk, looks, count(*) from entry
     group by name, bulk, looks, steps having count(*) <> 3 * (cardinality(steps) + 2) $$,
  'AUW-03: every write is an entry all the same'
);
select is_empty(
  $$ select name, bulk, looks, resource_id from entry
     where resource_id not in ('1001', '1002', '1003') and (bulk or looks or name <> 'key') $$,
  'AUW-04: that says which row, as soon as the sealer has looked'
);
select ok(
  (select bool_and(after ->> 'plain' = 'shown') from entry
   where name = 'away' and action = 'insert' and resource_id = '1003'),
  'AUW-05: columns that have their names again are shown again'
);

select * from finish();
rollback;
