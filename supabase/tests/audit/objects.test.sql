-- Changes of the log's tables and types by their owner: each leaves a trace.
begin;
set local search_path = bulwark, public, extensions;
select plan(35);
-- The same lock order as the sealer, which may be running: it locks the log first.
lock table bulwark.audit_logs in access exclusive mode;
select tests.create_organizations();
create function pg_temp.traces(wanted bulwark.audit_severity)
  returns integer
  language sql
as $$
  select count(*)::int from bulwark.audit_logs e
  where e.action = 'watched_object_changed' and e.severity = wanted
    and e.xid = pg_current_xact_id();
$$;
-- The sealer's report of a change, which is then undone.
create function pg_temp.noticed(change text)
  returns text
  language plpgsql
as $$
declare
  v_found text;
begin
  begin
    execute change;
    perform bulwark_private.inspect_audit_fingerprints();
    v_found := case
      when pg_temp.traces('critical') > 0 then 'critical'
      when pg_temp.traces('warning') > 0 then 'warning'
      else 'nothing'
    end;
    raise exception sqlstate 'TT000';
  exception when sqlstate 'TT000' then
    return v_found;
  end;
end;
$$;
select bulwark_private.inspect_audit_fingerprints();
select is(pg_temp.traces('warning') + pg_temp.traces('critical'), 0, 'AUO-01: nothing is noticed');
select is_empty(
  $$ select t.name from bulwark_private.audit_tables t
     where t.relkind <> 'S'
       and not exists (
         select from bulwark_private.audit_watched_tables g where g.relation = t.oid
       ) $$,
  'AUO-02: every table of the log is watched'
);
select is_empty(
  $$ select t.oid::regtype from pg_attribute a
     join bulwark_private.audit_tables c on c.oid = a.attrelid
     join pg_type t on t.oid = a.atttypid
     where t.typnamespace <> 'pg_catalog'::regnamespace
       and t.oid not in (select o.oid from bulwark_private.audit_types o) $$,
  'AUO-03: the types of their columns are watched'
);

select is(pg_temp.noticed(change), expected, format('AUO-%s: %s', 10 + place, claim))
from (values
  (1, 'alter table bulwark_private.audit_seals drop constraint audit_seals_pkey cascade',
    'critical', 'a primary key that is dropped'),
  (2, 'alter table bulwark_private.audit_watched_tables drop constraint audit_watched_tables_pkey;
       alter table bulwark_private.audit_watched_tables add primary key (relation)',
    'warning', 'or dropped and made again'),
  (3, 'alter table bulwark.audit_event_types drop constraint audit_event_types_closed_categories',
    'critical', 'a check that is dropped'),
  (4, 'alter table bulwark.audit_event_types drop constraint audit_event_types_closed_categories;
       alter table bulwark.audit_event_types add constraint audit_event_types_closed_categories
         check (true)',
    'critical', 'or replaced by one that checks nothing'),
  (5, 'alter table bulwark.audit_checkpoints drop constraint audit_checkpoints_key_id_fkey',
    'critical', 'a foreign key that is dropped'),
  (6, 'alter table bulwark.audit_logs add constraint quiet check (event_type <> ''auth.login'')',
    'critical', 'a check that keeps entries out'),
  (7, 'create unique index quiet on bulwark.audit_logs (event_type, id)
      where event_type = ''auth.x''',
    'critical', 'a unique index that keeps entries out'),
  (8, 'drop index bulwark.audit_logs_xid_idx', 'warning', 'an index that is dropped'),
  (9, 'create index more on bulwark.audit_logs (actor_id)', 'warning', 'one that came'),
  (10, 'alter table bulwark.audit_logs alter column result drop default',
    'critical', 'the default of a hashed column that is dropped'),
  (11, 'alter table bulwark.audit_logs alter column result set default ''failure''',
    'critical', 'or another'),
  (12, 'alter table bulwark.audit_logs alter column result drop default;
        alter table bulwark.audit_logs alter column result set default ''success''',
    'warning', 'or dropped and made again'),
  (13, 'alter table bulwark.audit_logs alter column salt set default gen_random_uuid()',
    'critical', 'a default where there was none'),
  (14, 'alter table bulwark.audit_logs alter column occurred_at drop not null',
    'critical', 'a column that may be null now'),
  (15, 'alter table bulwark_private.audit_check_progress rename column after_seal to before_seal',
    'critical', 'a column that is renamed'),
  (16, 'alter table bulwark.audit_checkpoints alter column note type varchar',
    'critical', 'a column of another type'),
  (17, 'alter table bulwark.audit_logs add column more text', 'warning', 'a column that came'),
  (18, 'alter table bulwark.audit_logs disable row level security',
    'critical', 'row-level security that is off'),
  (19, 'alter table bulwark.audit_logs disable row level security;
        alter table bulwark.audit_logs enable row level security',
    'warning', 'or was for a while'),
  (20, 'create policy everybody on bulwark.audit_logs for select to anon using (true)',
    'critical', 'a policy that came'),
  (21, 'alter policy "Members read the audit log of organizations where they may"
          on bulwark.audit_logs using (true)', 'critical', 'a policy that lets more through'),
  (22, 'alter policy "Members read the audit log of organizations where they may"
          on bulwark.audit_logs to anon', 'critical', 'a policy for others'),
  (23, 'grant insert on bulwark.audit_logs to authenticated', 'critical', 'a right that is given'),
  (24, 'grant update (details) on bulwark.audit_logs to service_role',
    'critical', 'also on a column alone'),
  (25, 'grant create on schema bulwark_private to anon', 'critical', 'and on the schema'),
  (26, 'grant create on schema bulwark_private to service_role;
        alter table bulwark_private.audit_parents owner to service_role',
        'critical', 'another owner'),
  (27, 'alter type bulwark.audit_source rename value ''client'' to ''customer''',
    'critical', 'a value of a type that is renamed'),
  (28, 'create cast (bulwark.audit_source as text) with inout as implicit',
    'critical', 'a cast that came'),
  (29, 'alter table bulwark_private.audit_gaps set unlogged', 'critical',
    'a table that a crash empties'),
  (30, 'create function public.quiet() returns trigger language plpgsql as
          ''begin new.details := null; return new; end'';
        create trigger zzz before insert on bulwark.audit_logs
          for each row execute function public.quiet()',
    'critical', 'a trigger that came'),
  (31, 'create function public.quiet() returns trigger language plpgsql as
          ''begin return null; end'';
        create trigger quiet before insert on bulwark_private.audit_retention_progress
          for each row execute function public.quiet()',
    'critical', 'also on a table that had none'),
  (32, 'create table public.mine (id integer primary key, n integer default 1 check (n > 0));
        create type public.mine_kind as enum (''a''); create index on public.mine (n);
        create cast (public.mine_kind as text) with inout as assignment;
        create function public.sha256(text) returns bytea language sql as ''select null::bytea'';
        create operator public.= (leftarg = text, rightarg = text, function = texteq)',
    'nothing', '(objects of a host, also such as shadow others: ours look in pg_catalog first)')
) as t (place, change, expected, claim);

select * from finish();
rollback;
