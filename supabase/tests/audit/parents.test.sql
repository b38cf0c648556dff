-- The organization of entries whose parent row a cascade deletes first.
begin;
set local search_path = bulwark, public, extensions;
select plan(9);
select tests.create_organizations();

create function pg_temp.homeless()
  returns bigint
  language sql
as $$
  select count(*) from bulwark.audit_logs
  where xid = pg_current_xact_id() and organization_id is null
    and resource_type ~ '^public\.(stages|steps|notes|role_)|invitation_tokens';
$$;

-- Bulwark's own tables
select create_role(tests.acme(), 'keeper', permissions => '{audit:read}', inherits => '{viewer}');
select delete_role(tests.acme(), 'keeper');
select results_eq(
  $$ select distinct resource_type, organization_id from audit_logs
     where action = 'delete'
       and resource_type in ('bulwark.role_permissions', 'bulwark.role_inheritance')
     order by 1 $$,
  $$ values ('bulwark.role_inheritance', tests.acme()),
            ('bulwark.role_permissions', tests.acme()) $$,
  'AUP-01: what a role held is deleted in sight of its organization'
);
select create_role(tests.globex(), 'keeper', permissions => '{audit:read}');
create temporary table known as select id from audit_logs;
create temporary table globex as select tests.globex() as id;
delete from organizations where id = tests.globex();
select ok(
  (select count(*) > 0 and bool_and(organization_id = (select g.id from globex g))
   from audit_logs
   where id not in (select k.id from known k) and action = 'delete'
     and resource_type in ('bulwark.role_permissions', 'bulwark_private.invitation_tokens')),
  'AUP-02: so is what an organization had, two cascades down'
);

-- tables of a host: three levels, each way to lose a parent
create table public.plans (id uuid primary key, organization_id uuid not null);
create table public.stages (
  id uuid primary key, plan_id uuid not null references public.plans (id) on delete cascade
);
create table public.steps (
  id integer primary key,
  stage_id uuid references public.stages (id) on delete cascade on update cascade
);
create table public.notes (
  id integer primary key,
  plan_id uuid references public.plans (id) on delete set null deferrable initially deferred
);
create function public.organization_of_plan(uuid)
  returns uuid
  language sql
  stable
as $$ select organization_id from public.plans where id = $1; $$;
create function public.organization_of_stage(uuid)
  returns uuid
  language sql
  stable
as $$
  select p.organization_id from public.stages s join public.plans p on p.id = s.plan_id
  where s.id = $1;
$$;
select bulwark.enable_audit(
  'public.stages', organization_column => 'plan_id',
  organization_lookup => 'public.organization_of_plan'
);
select bulwark.enable_audit(
  'public.steps', organization_column => 'stage_id',
  organization_lookup => 'public.organization_of_stage', bulk => true
);
select bulwark.enable_audit(
  'public.notes', organization_column => 'plan_id',
  organization_lookup => 'public.organization_of_plan'
);
create function pg_temp.fill(n integer)
  returns uuid
  language sql
as $$
  insert into public.plans values (md5('plan' || n)::uuid, tests.acme());
  insert into public.stages values (md5('stage' || n)::uuid, md5('plan' || n)::uuid);
  insert into public.steps values (n, md5('stage' || n)::uuid);
  insert into public.notes values (n, md5('plan' || n)::uuid);
  select md5('plan' || n)::uuid;
$$;
select pg_temp.fill(1);
delete from public.plans where id = md5('plan1')::uuid;
select results_eq(
  $$ select resource_type, organization_id from audit_logs
     where resource_type in ('public.stages', 'public.steps') and action = 'delete'
     order by resource_type $$,
  $$ values ('public.stages', tests.acme()),
            ('public.steps', tests.acme()) $$,
  'AUP-03: rows that a cascade of several levels deletes belong to whom they belonged'
);
select is(
  (select organization_id from audit_logs
   where resource_type = 'public.notes' and before ->> 'plan_id' = md5('plan1')::uuid::text),
  tests.acme(), 'AUP-04: and a row that loses its parent leaves it in its sight'
);
select pg_temp.fill(2);
update public.stages set id = md5('other')::uuid where id = md5('stage2')::uuid;
select is(
  (select string_agg(distinct organization_id::text, ' ') from audit_logs
   where resource_type = 'public.steps' and resource_id = '2'),
  tests.acme()::text, 'AUP-05: a parent may get another key'
);
select pg_temp.fill(3);
set constraints all immediate;
alter table public.notes drop constraint notes_plan_id_fkey;
alter table public.notes add constraint notes_plan_id_fkey
  foreign key (plan_id) references public.plans (id) deferrable initially deferred;
set constraints all deferred;
delete from public.plans where id = md5('plan3')::uuid;
delete from public.notes where id = 3;
select is(
  (select organization_id from audit_logs
   where resource_type = 'public.notes' and action = 'delete' and resource_id = '3'),
  tests.acme(), 'AUP-06: or go before its children, in a statement of its own'
);
select is(
  pg_temp.homeless(),
  (select count(*) from audit_logs
   where xid = pg_current_xact_id() and organization_id is null
     and resource_type = 'public.notes' and event_type = 'data.create'
     and after ->> 'plan_id' is null),
  'AUP-07: no entry of them all lacks its organization but what has none any more'
);

-- a table that was altered
set constraints all immediate;
delete from public.notes where id = 2;
alter table public.stages rename column plan_id to plan;
select tests.error_is('AUP-08: a table that was altered blocks no delete', 'no error',
  $$ delete from public.plans where id = md5('plan2')::uuid $$);
select bulwark.disable_audit('public.steps');
select bulwark.disable_audit('public.notes');
select bulwark.disable_audit('public.stages');
select is_empty(
  $$ select from pg_trigger where tgrelid in ('public.plans'::regclass, 'public.stages'::regclass)
       and tgname like 'bulwark%' $$,
  'AUP-09: no trigger is left behind'
);

select * from finish();
rollback;
