-- Erasure in steps, the entries it keeps as evidence, and limits that the service role cannot
-- exceed.
begin;
set local search_path = public, bulwark, extensions;
select plan(33);
select tests.create_organizations();
create temporary table mark as select id as after from bulwark.audit_logs order by id desc limit 1;
grant select on mark to public;

select tests.act_as('analyst@acme.test');
select count(*) from generate_series(1, 7) as n, lateral log_audit_event(
  'data.read', organization_id => tests.organization_id('acme'), resource_id => n::text) e;
select tests.act_as_role('service_role');
select log_audit_event(
  'security.suspicious_activity', organization_id => tests.organization_id('acme'),
  actor_id => tests.user_id('analyst@acme.test')
);
select log_audit_event(
  'system.error', organization_id => tests.organization_id('acme'), severity => 'critical',
  resource_id => tests.user_id('analyst@acme.test')::text
);
select log_audit_event(
  'api.error', organization_id => tests.organization_id('acme'),
  actor_id => tests.user_id('analyst@acme.test')
);
select log_audit_event(
  'data.read', 'elsewhere', tests.organization_id('globex'),
  actor_id => tests.user_id('analyst@acme.test')
);
select tests.act_as_owner();
create temporary view theirs as
  select e.* from bulwark.audit_logs e, mark m
  where e.id > m.after and e.event_type <> 'compliance.data_deleted'
    and e.organization_id = tests.organization_id('acme');

-- a step is bounded, and the next one goes on
create temporary table steps as
  select 1 as step, s.*
  from erase_subject(tests.user_id('analyst@acme.test'), 'asked for',
    tests.organization_id('acme'), max_entries => 3) s;
select ok(
  (select next_after is not null from steps where step = 1), 'AUR-60: a step stops early'
);
do $$
declare
  v_step integer := 1;
  v_after uuid := (select next_after from steps);
begin
  while v_after is not null loop
    v_step := v_step + 1;
    insert into steps
    select v_step, s.*
    from erase_subject(tests.user_id('analyst@acme.test'), 'asked for',
      tests.organization_id('acme'), after => v_after, max_entries => 3) s;
    select next_after into v_after from steps where step = v_step;
  end loop;
end;
$$;
select ok((select bool_and(removed <= 6) from steps), 'AUR-61: each is bounded');
select is(
  (select count(*)::int from theirs where removed_by is not null and event_type = 'data.read'), 7,
  'AUR-62: together they take everything'
);
select is(
  (select count(*)::int from theirs where removed_by is not null and event_type = 'api.error'), 1,
  'AUR-63: errors too, which retention keeps'
);
select results_eq(
  $$ select event_type from theirs where removed_by is null order by event_type $$,
  array['security.suspicious_activity', 'system.error'],
  'AUR-64: but not what is evidence: critical, or of category security'
);
select is(
  (select sum(kept)::int from steps), 2, 'AUR-65: the answer says how much that is'
);
select is(
  (select sum((details ->> 'entries')::int)::int from audit_logs, mark m
   where event_type = 'compliance.data_deleted' and id > m.after),
  (select sum(removed)::int from steps), 'AUR-66: and each step has its record'
);
select is(
  tests.error($$ select erase_subject(tests.user_id('analyst@acme.test'), 'x',
    max_entries => 0) $$),
  '22023 AUDIT_INVALID_LIMIT', 'AUR-67: a step takes something'
);
select is(
  (select removed from erase_subject(tests.user_id('analyst@acme.test'), 'asked for',
    tests.organization_id('acme'))), 0, 'AUR-68: again it finds nothing'
);

select ok(
  exists (select from audit_logs where action = 'elsewhere' and removed_by is null),
  'AUR-34: an erasure in one organization leaves the others'' alone'
);

-- evidence is erased only with the permission for the whole installation
insert into bulwark.roles (id, organization_id, name, description, level)
select gen_random_uuid(), tests.organization_id('acme'), 'officer', '', 1;
insert into bulwark.role_permissions (role_id, permission)
select r.id, p from bulwark.roles r, unnest('{compliance:manage,compliance:read}'::text[]) as p
where r.name = 'officer';
select tests.create_user('officer@acme.test');
insert into bulwark.user_roles (user_id, role_id, organization_id)
select tests.user_id('officer@acme.test'), r.id, r.organization_id
from bulwark.roles r where r.name = 'officer';
select tests.act_as('officer@acme.test');
select is(
  tests.error($$ select erase_subject(tests.user_id('viewer@acme.test'), 'x',
    tests.organization_id('acme')) $$), 'no error', 'AUR-69: an officer erases in the organization'
);
select is(
  tests.error($$ select erase_subject(tests.user_id('viewer@acme.test'), 'x',
    tests.organization_id('globex')) $$), '42501 RBAC_PERMISSION_DENIED',
  'AUR-70: not in another'
);
select is(
  tests.error($$ select erase_subject(tests.user_id('viewer@acme.test'), 'x') $$),
  '42501 RBAC_PERMISSION_DENIED', 'AUR-71: nor everywhere'
);
select is(
  tests.error($$ select erase_subject(tests.user_id('analyst@acme.test'), 'x',
    tests.organization_id('acme'), evidence => true) $$), '42501 RBAC_PERMISSION_DENIED',
  'AUR-72: nor evidence'
);
select is(
  tests.error($$ select erase_subject(tests.user_id('analyst@acme.test'), 'x',
    tests.organization_id('acme'), evidence => null) $$), '42501 RBAC_PERMISSION_DENIED',
  'AUR-73: nor by leaving it open'
);

select is(
  tests.error($$ select erase_subject(tests.user_id('viewer@globex.test'), 'x',
    tests.organization_id('acme')) $$), 'PT404 AUDIT_UNKNOWN_SUBJECT',
  'AUR-86: nor somebody the organization does not know of'
);
select is(
  tests.error($$ select erase_subject(gen_random_uuid(), 'x', tests.organization_id('acme')) $$),
  'PT404 AUDIT_UNKNOWN_SUBJECT', 'AUR-87: of whom it learns as much as of nobody'
);
select tests.act_as_owner();
select bulwark_private.append_audit_entry('compliance.data_deleted', details => jsonb_build_object(
  'subject', encode(sha256(uuid_send('00000000-0000-4000-8000-0000000000bb')), 'hex')));
select tests.act_as_role('service_role');
select log_audit_event('data.read', actor_id => '00000000-0000-4000-8000-0000000000aa');
select is(
  tests.error($$ select erase_subject('00000000-0000-4000-8000-0000000000bb', 'x') $$),
  'PT404 AUDIT_UNKNOWN_SUBJECT', 'AUR-88: a claim that somebody was erased makes nobody a person'
);
select tests.act_as('officer@acme.test');

-- holds
create temporary table holds (name text, id uuid);
grant all on holds to public;
insert into holds values ('own', place_legal_hold('own', tests.organization_id('acme')));
select tests.act_as('super@bulwark.test');
insert into holds values ('super', place_legal_hold('super', tests.organization_id('acme')));
select tests.act_as_role('service_role');
insert into holds values ('service', place_legal_hold('service', tests.organization_id('acme')));
select tests.act_as('officer@acme.test');
select is(
  tests.error($$ select release_legal_hold(id) from holds where name = 'super' $$),
  '42501 AUDIT_HOLD_OUTRANKS_YOU', 'AUR-74: an officer does not end a super_admin''s hold'
);
select is(
  tests.error($$ select release_legal_hold(id) from holds where name = 'service' $$),
  '42501 AUDIT_HOLD_OUTRANKS_YOU', 'AUR-75: nor the operator''s'
);
select is(
  tests.error($$ select release_legal_hold(id) from holds where name = 'own' $$), 'no error',
  'AUR-76: but an own one'
);
select tests.act_as('super@bulwark.test');
select is(
  tests.error($$ select release_legal_hold(id) from holds where name in ('super', 'service') $$),
  'no error', 'AUR-77: a super_admin ends any'
);

select tests.act_as_owner();
select is(
  tests.error($$ update audit_legal_holds set released_at = null, released_by = null
    where id in (select id from holds) $$),
  '42501 AUDIT_LOG_IS_APPEND_ONLY', 'AUR-89: a hold that was released is not put back'
);
insert into audit_legal_holds (reason, subject_id, placed_by_operator)
values ('narrow', tests.user_id('viewer@acme.test'), true);
select is(
  tests.error($$ update audit_legal_holds set subject_id = gen_random_uuid()
    where reason = 'narrow' $$),
  '23514 COLUMN_IS_FIXED', 'AUR-90: nor is one moved to somebody else'
);
update audit_legal_holds set released_at = now() where reason = 'narrow';
select is(
  (select array_agg(tgname::text order by tgname) from pg_trigger
   where tgrelid = 'audit_legal_holds'::regclass and tgenabled = 'A'
     and tgname ~ '^audit_legal_holds_(wait|stay_released|keep_columns)$'),
  '{audit_legal_holds_keep_columns,audit_legal_holds_stay_released,audit_legal_holds_wait}',
  'AUR-91: under session_replication_role too'
);

-- limits that the service role cannot shorten
select tests.act_as_role('service_role');
select is(
  tests.error($$ select cleanup_old_audit_logs(89) $$), '42501 AUDIT_RETENTION_TOO_SHORT',
  'AUR-78: payloads are kept as long as was decided'
);
select is(tests.error($$ select cleanup_old_audit_logs(90) $$), 'no error', 'AUR-79: not longer');
select is(
  tests.error($$ select prune_audit_log(36500) $$), '42501 AUDIT_RETENTION_TOO_SHORT',
  'AUR-80: nothing is pruned until somebody decided when'
);
select tests.act_as_owner();
update bulwark.settings set value = '400' where name = 'audit.keep_days';
select tests.act_as_role('service_role');
select is(
  tests.error($$ select prune_audit_log(399) $$), '42501 AUDIT_RETENTION_TOO_SHORT',
  'AUR-81: and then not earlier'
);
select is(tests.error($$ select prune_audit_log(400) $$), 'no error', 'AUR-82: (but then)');
select tests.act_as_owner();

-- a client's report is not kept for its severity, and a client cannot choose it
select is(
  tests.error($$ update audit_event_types set reported_by_clients = true
    where name = 'api.error' $$),
  '23514', 'AUR-83: clients report no type that is kept for its severity'
);
select is(
  tests.error($$ update audit_event_types set severity = 'critical' where name = 'data.export' $$),
  '23514', 'AUR-84: and none that they report becomes one'
);
select is(
  (select bool_or(e.severity > 'warning') from bulwark.audit_logs e where e.source = 'client'),
  false, 'AUR-85: so that no entry of a client is'
);

select * from finish();
rollback;
