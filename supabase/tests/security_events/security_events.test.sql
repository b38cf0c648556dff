-- Security events: raised once while open, visible to those concerned, assigned and resolved.
begin;
set local search_path = bulwark, public, extensions;
select plan(62);
select tests.create_organizations();

create function pg_temp.raise(
  event_type text, organization text default null, email text default null, subject text default ''
)
  returns uuid
  language sql
as $$
  select bulwark.raise_security_event(
    event_type, tests.organization_id(organization), tests.user_id(email), subject,
    '{"seen": 1}'
  );
$$;
create function pg_temp.event(organization text, subject text)
  returns uuid
  language sql
  security definer
as $$
  select e.id from bulwark.security_events e
  where e.organization_id is not distinct from tests.organization_id(organization)
    and e.subject = event.subject
  order by e.raised_at desc limit 1;
$$;

-- as the owner, as Bulwark's own functions raise
select isnt(
  pg_temp.raise('brute_force', 'acme', 'viewer@acme.test', 'one'), null,
  'SEC-01: raising returns the id of the event'
);
select results_eq(
  $$ select severity::text, occurrences, organization_id, user_id, details, resolved_at
     from bulwark.security_events where subject = 'one' $$,
  $$ select 'high', 1::bigint, tests.acme(), tests.user_id('viewer@acme.test'),
       '{"seen": 1}'::jsonb, null::timestamptz $$,
  'SEC-02: the severity comes from the type'
);
select is(
  pg_temp.raise('brute_force', 'acme', 'viewer@acme.test', 'one'), pg_temp.event('acme', 'one'),
  'SEC-03: the same again is the same event'
);
select results_eq(
  $$ select occurrences, last_seen_at > raised_at from bulwark.security_events
     where subject = 'one' $$,
  $$ values (2::bigint, true) $$,
  'SEC-04: while it is open it is counted up'
);
select is(
  (select count(distinct pg_temp.raise(t, o, u, s))
   from (values
     ('brute_force', 'acme', 'viewer@acme.test', 'two'),
     ('permission_probing', 'acme', 'viewer@acme.test', 'one'),
     ('brute_force', 'acme', 'analyst@acme.test', 'one'),
     ('brute_force', 'globex', 'viewer@acme.test', 'one'),
     ('brute_force', 'acme', null, 'one')
   ) as v (t, o, u, s)),
  5::bigint, 'SEC-05: another subject, type, user or organization is another event'
);
select tests.error_is('SEC-06: an unknown type is an error', '22023 SECURITY_UNKNOWN_EVENT_TYPE',
  $$ select pg_temp.raise('brute_farce') $$);
select tests.error_is('SEC-07: and so is none', '22023 SECURITY_UNKNOWN_EVENT_TYPE',
  $$ select pg_temp.raise(null) $$);
select tests.error_is('SEC-08: without subject and details it is raised all the same', 'no error',
  $$ select bulwark.raise_security_event('brute_force', null, null, null, null) $$);
select tests.error_is('SEC-09: and with a subject and details of any size', 'no error',
  $$ select bulwark.raise_security_event(
       'brute_force', null, null, E'junk\u0001' || repeat('x', 10000),
       jsonb_build_object('large', repeat('x', 100000))) $$);
select results_eq(
  $$ select length(subject), details from bulwark.security_events where subject like 'junk%' $$,
  $$ values (256, '{"left_out_bytes": 100013}'::jsonb) $$,
  'SEC-10: of which a bounded part is kept'
);
select tests.error_is('SEC-11: details that are no object are wrapped', 'no error',
  $$ select bulwark.raise_security_event('brute_force', null, null, 'list', '[1]') $$);
select is(
  (select details from bulwark.security_events where subject = 'list'), '{"value": [1]}',
  'SEC-12: under a name'
);

-- a user without an organization: raised in each of the user's organizations and nowhere else
select bulwark.grant_role(tests.user_id('viewer@acme.test'), 'viewer', tests.globex());
select is(
  pg_temp.raise('impossible_travel', null, 'viewer@acme.test', 'shared'),
  pg_temp.event(null, 'shared'), 'SEC-13: the id is that of the installation''s own event'
);
select set_eq(
  $$ select organization_id from bulwark.security_events where subject = 'shared' $$,
  $$ values (null::uuid), (tests.acme()), (tests.globex()) $$,
  'SEC-14: what concerns a user is told to each organization of theirs'
);
select pg_temp.raise('impossible_travel', null, 'analyst@acme.test', 'alone');
select set_eq(
  $$ select organization_id from bulwark.security_events where subject = 'alone' $$,
  $$ values (null::uuid), (tests.acme()) $$,
  'SEC-15: and to no other one'
);
select pg_temp.raise('impossible_travel', null, 'stranger@bulwark.test', 'nobody');
select set_eq(
  $$ select organization_id from bulwark.security_events where subject = 'nobody' $$,
  $$ values (null::uuid) $$, 'SEC-16: who is no member anywhere is the installation''s alone'
);

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select is(
  (select count(*) from bulwark.security_events where subject = 'shared'), 1::bigint,
  'SEC-17: an administrator reads the event of their own organization'
);
select is_empty(
  $$ select from bulwark.security_events
     where organization_id is distinct from tests.acme() $$,
  'SEC-18: and neither another organization''s nor the installation''s'
);
select is(
  (select count(*) from bulwark.list_security_events(tests.acme())),
  (select count(*) from bulwark.security_events), 'SEC-19: the list shows the same'
);
select tests.error_is('SEC-20: the list of another organization is closed',
  '42501 RBAC_PERMISSION_DENIED', $$ select from bulwark.list_security_events(tests.globex()) $$);
select tests.error_is('SEC-20: and the installation''s', '42501 RBAC_PERMISSION_DENIED',
  $$ select from bulwark.list_security_events() $$);
select is_empty(
  $$ select from bulwark.list_security_events(
       tests.acme(), minimum_severity => 'critical') $$,
  'SEC-21: less urgent ones can be left out'
);
select tests.error_is('SEC-22: nobody resolves for another organization',
  'PT404 SECURITY_EVENT_NOT_FOUND',
  format('select bulwark.resolve_security_event(%L, ''not mine'')', pg_temp.event('globex',
    'shared')));
select tests.error_is('SEC-23: nor for the installation', 'PT404 SECURITY_EVENT_NOT_FOUND',
  format('select bulwark.resolve_security_event(%L, ''not mine'')', pg_temp.event(null, 'shared')));
select tests.error_is('SEC-24: one that does not exist is the same answer',
  'PT404 SECURITY_EVENT_NOT_FOUND',
  $$ select bulwark.resolve_security_event(gen_random_uuid(), 'none') $$);
select tests.error_is('SEC-25: an event is not assigned to somebody from outside',
  '22023 SECURITY_INVALID_ASSIGNEE',
  format(
    'select bulwark.assign_security_event(%L, %L)', pg_temp.event('acme', 'shared'),
    tests.user_id('admin@globex.test')
  ));
select tests.error_is('SEC-26: nor to a member who could not read it',
  '22023 SECURITY_INVALID_ASSIGNEE',
  format(
    'select bulwark.assign_security_event(%L, %L)', pg_temp.event('acme', 'shared'),
    tests.user_id('viewer@acme.test')
  ));
select is(
  (select assigned_to from bulwark.assign_security_event(
    pg_temp.event('acme', 'shared'), tests.user_id('admin@acme.test'))),
  tests.user_id('admin@acme.test'), 'SEC-27: it is assigned to a member who can'
);
select results_eq(
  $$ select subject from bulwark.list_security_events(
       tests.acme(), assignee => tests.user_id('admin@acme.test')) $$,
  array['shared'], 'SEC-51: the list has the events of one assignee alone'
);
select results_eq(
  $$ select subject from bulwark.list_security_events(tests.acme(), unassigned => true)
     order by 1 $$,
  $$ select subject from bulwark.security_events
     where assigned_to is null and resolved_at is null order by 1 $$,
  'SEC-52: or those that nobody has'
);
select results_eq(
  $$ select subject from bulwark.list_security_events(tests.acme(), state => 'assigned') $$,
  array['shared'], 'SEC-53: or those that somebody has'
);
select is_empty(
  $$ select from bulwark.list_security_events(tests.acme(), state => 'resolved') $$,
  'SEC-54: or those that are resolved'
);
select tests.error_is('SEC-55: an unknown state is refused', '22023 SECURITY_UNKNOWN_STATE',
  $$ select from bulwark.list_security_events(tests.acme(), state => 'closed') $$);
select is(
  (select assigned_to from bulwark.assign_security_event(pg_temp.event('acme', 'shared'), null)),
  null, 'SEC-28: and to nobody again'
);
select tests.error_is('SEC-29: an event is not resolved without a note',
  '22023 SECURITY_INVALID_NOTE',
  format('select bulwark.resolve_security_event(%L, E'' \t\n'')', pg_temp.event('acme', 'shared')));
select tests.error_is('SEC-30: nor with a null one', '22023 SECURITY_INVALID_NOTE',
  format('select bulwark.resolve_security_event(%L, null)', pg_temp.event('acme', 'shared')));
select results_eq(
  format(
    $$ select resolved_at is not null, resolved_by, resolution_note
       from bulwark.resolve_security_event(%L, 'a VPN') $$, pg_temp.event('acme', 'shared')
  ),
  $$ select true, tests.user_id('admin@acme.test'), 'a VPN' $$,
  'SEC-31: with one it is, and says who did'
);
select tests.error_is('SEC-32: and only once', 'PT409 SECURITY_EVENT_RESOLVED',
  format('select bulwark.resolve_security_event(%L, ''twice'')', pg_temp.event('acme', 'shared')));
select tests.error_is('SEC-33: a resolved one is not assigned', 'PT409 SECURITY_EVENT_RESOLVED',
  format('select bulwark.assign_security_event(%L, null)', pg_temp.event('acme', 'shared')));
select is(
  (select count(*) from bulwark.list_security_events(tests.acme())
   where subject = 'shared'),
  0::bigint, 'SEC-34: the list leaves resolved ones out'
);
select is(
  (select count(*) from bulwark.list_security_events(tests.acme(), true)
   where subject = 'shared'),
  1::bigint, 'SEC-35: unless it is asked for them'
);
select results_eq(
  $$ select subject from bulwark.list_security_events(tests.acme(), state => 'resolved') $$,
  array['shared'], 'SEC-56: or for them alone'
);
select is_empty(
  $$ select from bulwark.list_security_events(tests.acme(), true, state => 'open')
     where resolved_at is not null $$,
  'SEC-57: a state is stronger than include_resolved'
);

-- acting as a viewer, who holds no security permission
select tests.act_as('viewer@acme.test');
select is_empty(
  $$ select from bulwark.security_events $$,
  'SEC-36: a member without security:read reads none, not even about themselves'
);
select tests.error_is('SEC-37: and resolves none', 'PT404 SECURITY_EVENT_NOT_FOUND',
  format('select bulwark.resolve_security_event(%L, ''mine'')', pg_temp.event('acme', 'one')));
select tests.error_is('SEC-38: a client raises none', '42501',
  $$ select bulwark.report_security_event('brute_force') $$);
select tests.error_is('SEC-39: and writes none', '42501',
  $$ update bulwark.security_events set resolved_at = now() $$);

-- acting as a member who may read but not resolve
select tests.act_as_owner();
select bulwark.create_role(tests.acme(), 'watcher', '{security:read}');
select bulwark.grant_role(tests.user_id('viewer@acme.test'), 'watcher', tests.acme());
select tests.act_as('viewer@acme.test');
select tests.error_is('SEC-40: reading is not resolving', '42501 RBAC_PERMISSION_DENIED',
  format('select bulwark.resolve_security_event(%L, ''mine'')', pg_temp.event('acme', 'one')));

-- acting as a super_admin
select tests.act_as('super@bulwark.test');
select is(
  (select resolution_note
   from bulwark.resolve_security_event(pg_temp.event(null, 'shared'), 'known traveller')),
  'known traveller', 'SEC-41: a super_admin resolves the installation''s own'
);
select is(
  (select resolved_at from bulwark.security_events where id = pg_temp.event('globex', 'shared')),
  null, 'SEC-42: which leaves those of the organizations as they are'
);

-- as the owner: after it was resolved
select tests.act_as_owner();
select pg_temp.raise('impossible_travel', 'acme', 'viewer@acme.test', 'shared');
select is(
  (select count(*) from bulwark.security_events
   where subject = 'shared' and organization_id = tests.acme()),
  2::bigint, 'SEC-43: when it happens again after it was resolved, another one is opened'
);
select results_eq(
  $$ select action, event_type from bulwark.audit_logs
     where resource_type = 'bulwark.security_events' and resource_id = (
       select id::text from bulwark.security_events
       where subject = 'shared' and resolution_note = 'a VPN')
     order by id $$,
  $$ values ('insert', 'security.suspicious_activity'), ('update', 'data.update'),
       ('update', 'data.update'), ('update', 'data.update') $$,
  'SEC-44: opening, assigning and resolving are in the audit log'
);
select is(
  (select count(*) from bulwark.audit_logs
   where resource_type = 'bulwark.security_events'
     and resource_id = pg_temp.event('acme', 'one')::text),
  1::bigint, 'SEC-45: counting up is not'
);

-- Only super admins see the installation's events, whatever others hold system-wide.
select bulwark.grant_role(tests.user_id('stranger@bulwark.test'), 'admin');
select is(
  tests.error(format(
    'select bulwark.assign_security_event(%L, %L)',
    bulwark.raise_security_event('breach_attempt', null, null, 'of nobody'),
    tests.user_id(a.email)
  )),
  a.problem, 'SEC-50: an event of the installation is assigned to ' || a.email || ': ' || a.problem
)
from (values
  ('stranger@bulwark.test', '22023 SECURITY_INVALID_ASSIGNEE'), ('super@bulwark.test', 'no error')
) as a (email, problem);

-- a flood from many addresses
update bulwark.settings set value = '3' where name = 'security.open_events_about_nobody';
select is(
  (select count(pg_temp.raise('credential_stuffing', null, null, 'network ' || n))
   from generate_series(1, 6) as n),
  6::bigint, 'SEC-47: an event about nobody in particular is raised'
);
select pg_temp.raise('credential_stuffing', null, null, 'network 1');
select results_eq(
  $$ select subject, occurrences from bulwark.security_events
     where event_type = 'credential_stuffing' and organization_id is null and user_id is null
     order by subject $$,
  $$ values ('network 1', 2::bigint), ('network 2', 1), ('network 3', 1), ('others', 3) $$,
  'SEC-47: so many of a type are open at once, and what comes beyond them is one'
);
select results_eq(
  $$ select pg_temp.raise('credential_stuffing', o, u, 'of somebody') is not null
     from (values (null, 'viewer@acme.test'), ('acme', null)) as v (o, u) $$,
  $$ values (true), (true) $$, 'SEC-48: what is about somebody is never among the others'
);
select is(
  (select count(*) from bulwark.security_events
   where event_type = 'credential_stuffing' and subject = 'of somebody'),
  4::bigint, 'SEC-48: and each of theirs is told'
);
select tests.error_is('SEC-49: one is resolved', 'no error',
  $$ select bulwark.resolve_security_event(pg_temp.event(null, 'network 2'), 'a proxy') $$);
select pg_temp.raise('credential_stuffing', null, null, 'network 7');
select isnt(
  pg_temp.event(null, 'network 7'), null, 'SEC-49: which makes room for the next one'
);
set transaction read only;
select is(
  pg_temp.raise('brute_force', 'acme', null, 'reading'), null,
  'SEC-46: what is noticed in a read-only transaction does not make the read fail'
);
select * from finish();
rollback;
