-- The audit log: entries of Bulwark's own tables, all of which are audited or watched.
begin;
set local search_path = bulwark, public, extensions;
select plan(9);
select tests.create_organizations();

select ok(
  exists (
    select from audit_logs where event_type = 'authz.role_assigned'
      and organization_id = tests.acme()
      and after ->> 'user_id' = tests.user_id('viewer@acme.test')::text
  ),
  'AUD-38: a role that is assigned is an authz event of its organization'
);
select revoke_role(tests.user_id('viewer@acme.test'), 'viewer', tests.acme());
select ok(
  exists (
    select from audit_logs where event_type = 'authz.role_removed'
      and organization_id = tests.acme()
      and before ->> 'user_id' = tests.user_id('viewer@acme.test')::text
  ),
  'AUD-39: and so is one that is removed'
);
select create_role(tests.acme(), 'auditor', permissions => '{audit:read}', inherits => '{viewer}');
select ok(
  exists (select from audit_logs where event_type = 'authz.permission_granted'
            and organization_id = tests.acme()
            and after ->> 'permission' = 'audit:read'),
  'AUD-40: a permission that a role gains is an event of its organization'
);
select is_empty(
  $$ select from audit_logs where resource_type = 'bulwark_private.effective_permissions' $$,
  'AUD-41: triggers of Bulwark write its permissions without an entry'
);
insert into bulwark_private.effective_permissions
select id, 'system:admin' from roles where name = 'viewer' and organization_id is null;
select ok(
  exists (select from audit_logs where resource_type = 'bulwark_private.effective_permissions'
            and after ->> 'permission' = 'system:admin'),
  'AUD-42: but a write by hand is an entry'
);
create temporary table invited as
  select * from invite_member(tests.acme(), 'new@acme.test', 'viewer');
select is_empty(
  $$ select from audit_logs e, bulwark_private.invitation_tokens t, invited i
     where concat(e.before, e.after, e.details) ~ encode(t.token_hash, 'hex')
        or position(i.token in concat(e.before, e.after, e.details)) > 0 $$,
  'AUD-43: no entry holds an invitation token or its hash'
);
select ok(
  exists (select from audit_logs where resource_type = 'bulwark.invitations'
            and organization_id = tests.acme()),
  'AUD-44: an invitation is an entry'
);
update bulwark.settings set value = 'false' where name = 'rbac.self_service_organizations';
select ok(
  exists (select from audit_logs where event_type = 'settings.updated'
            and resource_id = 'rbac.self_service_organizations'
            and before ->> 'value' = 'true'),
  'AUD-45: a setting that changes is an entry'
);
select is_empty(
  $$ select c.oid::regclass from pg_class c
     join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('bulwark', 'bulwark_private') and c.relkind = 'r'
       and obj_description(c.oid, 'pg_class') !~ 'Not\s+audited'
       and not exists (
         select from bulwark_private.audit_watched_tables g where g.relation = c.oid
       ) $$,
  'AUD-46: every table of Bulwark is audited, watched, or says why it is not'
);

select * from finish();
rollback;
