-- Accounts that are deleted while they are the only administrator, and anonymous ones.
begin;
set local search_path = bulwark, public, extensions;
select plan(12);
select tests.create_organizations();

select is(
  tests.error($$ delete from auth.users where email ~ '@(acme|globex|bulwark)\.test$' $$),
  'PT409 RBAC_LAST_ADMINISTRATOR', 'DEL-01: deleting many stops at the first sole administrator'
);
select is(
  (select count(*) from auth.users where email in ('admin@acme.test', 'viewer@acme.test')),
  2::bigint, 'DEL-02: and deletes nobody'
);
select tests.act_as('admin@acme.test');
select is(
  tests.error($$ update settings set value = 'true'
    where name = 'rbac.delete_last_administrators' $$),
  '42501', 'DEL-03: the setting is the operator''s'
);
select tests.act_as_owner();
update settings set value = 'true' where name = 'rbac.delete_last_administrators';
select is(
  tests.error(format('select revoke_role(%L, %L, %L)', tests.user_id('admin@acme.test'), 'admin',
    tests.organization_id('acme'))),
  'PT409 RBAC_LAST_ADMINISTRATOR', 'DEL-04: it allows no revocation'
);
select is(
  tests.error(format('delete from user_roles where user_id = %L',
    tests.user_id('admin@acme.test'))),
  'PT409 RBAC_LAST_ADMINISTRATOR', 'DEL-05: nor a delete of the grant alone'
);
create temporary table was as
select o.id from organizations o where o.slug in ('acme', 'globex');
select lives_ok(
  $$ delete from auth.users where email ~ '@(acme|globex|bulwark)\.test$' $$,
  'DEL-06: with it all are deleted'
);
set constraints all immediate;
select results_eq(
  $$ select a.organization_id from audit_logs a
     where a.action = 'administrator_lost' and a.severity = 'warning' order by 1 $$,
  $$ select id from was order by 1 $$, 'DEL-07: and the log names the organizations without one'
);
select is(
  (select count(*) from organizations o join was using (id)), 2::bigint, 'DEL-08: which stay'
);

-- Deletions and adoptions concern any number of organizations, the table of locks has an end.
create temporary view locks as
select count(*) as held from pg_locks where locktype = 'advisory' and pid = pg_backend_pid();
create temporary table had as select held from locks;
select bulwark_private.lock_rights(null, exclusively => true);
select count(bulwark_private.lock_rights(gen_random_uuid(), exclusively => true))
from generate_series(1, 100);
select cmp_ok(
  (select held from locks), '<=', (select held + 1 from had),
  'DEL-12: who has locked all rights takes no lock for each organization'
);

-- anonymous accounts
select tests.create_user('nobody@deletions.test');
update auth.users set is_anonymous = true where email = 'nobody@deletions.test';
select is(
  tests.error(format('select grant_role(%L, %L, %L)', tests.user_id('nobody@deletions.test'),
    'admin', (select min(id::text) from was))),
  '42501 ACCOUNT_ANONYMOUS', 'DEL-09: an anonymous account is granted nothing'
);
select is(
  tests.error(format('select create_organization(%L, %L, %L)', 'Nobody', 'nobody-s',
    tests.user_id('nobody@deletions.test'))),
  '42501 ACCOUNT_ANONYMOUS', 'DEL-10: and administers nothing'
);
update settings set value = 'true' where name = 'rbac.anonymous_members';
select lives_ok(
  format('select grant_role(%L, %L, %L)', tests.user_id('nobody@deletions.test'), 'admin',
    (select min(id::text) from was)),
  'DEL-11: unless the setting lets it'
);
select * from finish();
rollback;
