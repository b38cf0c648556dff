-- Erasure in steps, the entries it keeps as evidence, and limits that the service role cannot
-- exceed.
begin;
set local search_path = bulwark, public, extensions;
select plan(33);
select tests.create_organizations();
create temporary table mark as select id as after from bulwark.audit_logs order by id desc limit 1;
grant select on mark to public;

select tests.act_as('analyst@acme.test');
select count(*) from generate_series(1, 7) as n, lateral log_audit_event(
  'data.read', organization_id => tests.acme(), resource_id => n::text) e;
select tests.act_as_role('service_role');
select log_audit_event(
  'security.suspicious_activity', organization_id => tests.acme(),
  actor_id => tests.user_id('analyst@acme.test')
);
select log_audit_event(
  'system.error', organization_id => tests.acme(), severity => 'critical',
  resource_id => tests.user_id('analyst@acme.test')::text
);
select log_audit_event(
  'api.error', organization_id => tests.acme(),
  actor_id => tests.user_id('analyst@acme.test')
);
select log_audit_event(
  'data.read', 'elsewhere', tests.globex(),
  actor_id => tests.user_id('analyst@acme.test')
);
select tests.act_as_owner();
create temporary view theirs as
  select e.* from bulwark.audit_logs e, mark m
  where e.id > m.after and e.event_type <> 'compliance.data_deleted'
    and e.organization_id = tests.acme();

-- a step is bounded, and the next one goes on
create temporary table steps as
  select 1 as step, s.*
  from erase_subject(tests.user_id('analyst@acme.test'), 'asked for',
    tests.acme(), max_entries => 3) s;
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
      tests.acme(), after => v_after, max_entries => 3) s;
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
select tests.error_is('AUR-67: a step takes something', '22023 AUDIT_INVALID_LIMIT',
  $$ select erase_subject(tests.user_id('analyst@acme.test'), 'x', max_entries => 0) $$);
select is(
  (select removed from erase_subject(tests.user_id('analyst@acme.test'), 'asked for',
    tests.acme())), 0, 'AUR-68: again it finds nothing'
);

select ok(
  exists (select from audit_logs where action = 'elsewhere' and removed_by is null),
  'AUR-34: an erasure in one organization leaves the others'' alone'
);

-- evidence is erased only with the permission for the whole installation
insert into bulwark.roles (id, organization_id, name, description, level)
select gen_random_uuid(), tests.acme(), 'officer', '', 1;
insert into bulwark.role_permissions (role_id, permission)
select r.id, p from bulwark.roles r, unnest('{compliance:manage,compliance:read}'::text[]) as p
where r.name = 'officer';
select tests.create_user('officer@acme.test');
insert into bulwark.user_roles (user_id, role_id, organization_id)
select tests.user_id('officer@acme.test'), r.id, r.organization_id
from bulwark.roles r where r.name = 'officer';
select tests.act_as('officer@acme.test');
select tests.error_is('AUR-69: an officer erases in the organization', 'no error',
  $$ select erase_subject(tests.user_id('viewer@acme.test'), 'x', tests.acme()) $$);
select tests.error_is('AUR-70: not in another', '42501 RBAC_PERMISSION_DENIED',
  $$ select erase_subject(tests.user_id('viewer@acme.test'), 'x', tests.globex()) $$);
select tests.error_is('AUR-71: nor everywhere', '42501 RBAC_PERMISSION_DENIED',
  $$ select erase_subject(tests.user_id('viewer@acme.test'), 'x') $$);
select tests.error_is('AUR-72: nor evidence', '42501 RBAC_PERMISSION_DENIED',
  $$ select erase_subject(tests.user_id('analyst@acme.test'), 'x', tests.acme(), evidence => true)
    $$);
select tests.error_is('AUR-73: nor by leaving it open', '42501 RBAC_PERMISSION_DENIED',
  $$ select erase_subject(tests.user_id('analyst@acme.test'), 'x', tests.acme(), evidence => null)
    $$);

select tests.error_is('AUR-86: nor somebody the organization does not know of',
  'PT404 AUDIT_UNKNOWN_SUBJECT',
  $$ select erase_subject(tests.user_id('viewer@globex.test'), 'x', tests.acme()) $$);
select tests.error_is('AUR-87: of whom it learns as much as of nobody',
  'PT404 AUDIT_UNKNOWN_SUBJECT', $$ select erase_subject(gen_random_uuid(), 'x', tests.acme()) $$);
select tests.act_as_owner();
select bulwark_private.append_audit_entry('compliance.data_deleted', details => jsonb_build_object(
  'subject', encode(sha256(uuid_send('00000000-0000-4000-8000-0000000000bb')), 'hex')));
select tests.act_as_role('service_role');
select log_audit_event('data.read', actor_id => '00000000-0000-4000-8000-0000000000aa');
select tests.error_is('AUR-88: a claim that somebody was erased makes nobody a person',
  'PT404 AUDIT_UNKNOWN_SUBJECT',
  $$ select erase_subject('00000000-0000-4000-8000-0000000000bb', 'x') $$);
select tests.act_as('officer@acme.test');

-- holds
create temporary table holds (name text, id uuid);
grant all on holds to public;
insert into holds values ('own', place_legal_hold('own', tests.acme()));
select tests.act_as('super@bulwark.test');
insert into holds values ('super', place_legal_hold('super', tests.acme()));
select tests.act_as_role('service_role');
insert into holds values ('service', place_legal_hold('service', tests.acme()));
select tests.act_as('officer@acme.test');
select tests.error_is('AUR-74: an officer does not end a super_admin''s hold',
  '42501 AUDIT_HOLD_OUTRANKS_YOU',
  $$ select release_legal_hold(id) from holds where name = 'super' $$);
select tests.error_is('AUR-75: nor the operator''s', '42501 AUDIT_HOLD_OUTRANKS_YOU',
  $$ select release_legal_hold(id) from holds where name = 'service' $$);
select tests.error_is('AUR-76: but an own one', 'no error',
  $$ select release_legal_hold(id) from holds where name = 'own' $$);
select tests.act_as('super@bulwark.test');
select tests.error_is('AUR-77: a super_admin ends any', 'no error',
  $$ select release_legal_hold(id) from holds where name in ('super', 'service') $$);

select tests.act_as_owner();
select tests.error_is('AUR-89: a hold that was released is not put back',
  '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ update audit_legal_holds set released_at = null, released_by = null
    where id in (select id from holds) $$);
insert into audit_legal_holds (reason, subject_id, placed_by_operator)
values ('narrow', tests.user_id('viewer@acme.test'), true);
select tests.error_is('AUR-90: nor is one moved to somebody else', '23514 COLUMN_IS_FIXED',
  $$ update audit_legal_holds set subject_id = gen_random_uuid() where reason = 'narrow' $$);
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
select tests.error_is('AUR-78: payloads are kept as long as was decided',
  '42501 AUDIT_RETENTION_TOO_SHORT', $$ select cleanup_old_audit_logs(89) $$);
select tests.error_is('AUR-79: not longer', 'no error', $$ select cleanup_old_audit_logs(90) $$);
select tests.error_is('AUR-80: nothing is pruned until somebody decided when',
  '42501 AUDIT_RETENTION_TOO_SHORT', $$ select prune_audit_log(36500) $$);
select tests.act_as_owner();
update bulwark.settings set value = '400' where name = 'audit.keep_days';
select tests.act_as_role('service_role');
select tests.error_is('AUR-81: and then not earlier', '42501 AUDIT_RETENTION_TOO_SHORT',
  $$ select prune_audit_log(399) $$);
select tests.error_is('AUR-82: (but then)', 'no error', $$ select prune_audit_log(400) $$);
select tests.act_as_owner();

-- a client's report is not kept for its severity, and a client cannot choose it
select tests.error_is('AUR-83: clients report no type that is kept for its severity', '23514',
  $$ update audit_event_types set reported_by_clients = true where name = 'api.error' $$);
select tests.error_is('AUR-84: and none that they report becomes one', '23514',
  $$ update audit_event_types set severity = 'critical' where name = 'data.export' $$);
select is(
  (select bool_or(e.severity > 'warning') from bulwark.audit_logs e where e.source = 'client'),
  false, 'AUR-85: so that no entry of a client is'
);

select * from finish();
rollback;
