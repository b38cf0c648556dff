-- Access reviews: others decide about each access, once, with an end that is real.
begin;
set local search_path = bulwark, public, extensions;
select plan(57);
select tests.create_organizations();
insert into bulwark.permissions values ('test:nothing', 'Nothing');
select grant_role(tests.create_user('second@acme.test'), 'admin', tests.acme());
insert into bulwark.api_keys (organization_id, owner_id, name, environment, first_characters,
  scopes, rate_limit_rule, issued_with_mfa, expires_at)
values
  (tests.acme(), tests.user_id('analyst@acme.test'), 'theirs', 'live', 'bwk_live_abc',
    '{analytics:read}', 'api_default', false, now() + interval '1 day'),
  (tests.acme(), tests.user_id('admin@acme.test'), 'own', 'live', 'bwk_live_abd',
    '{analytics:read}', 'api_default', false, now() + interval '1 day');
create function pg_temp.review() returns uuid language sql security definer as $$
  select id from bulwark.access_reviews where organization_id = tests.acme()
  order by started_at desc limit 1;
$$;
create function pg_temp.item(email text, key text default null) returns uuid
language sql security definer as $$
  select i.id from bulwark.access_review_items i
  where i.review_id = pg_temp.review() and i.user_id = tests.user_id(email)
    and i.api_key_id is not distinct from (select k.id from bulwark.api_keys k where k.name = key);
$$;
create function pg_temp.version(email text, key text default null) returns text language sql as $$
  select l.version from list_access_review(pg_temp.review(), page_size => 1000) l
  where l.id = pg_temp.item($1, $2);
$$;
create function pg_temp.start(name text default 'Third quarter') returns uuid language sql as $$
  select id from start_access_review(tests.acme(), name, now() + interval '5 days', array[
    tests.user_id('admin@acme.test'), tests.user_id('second@acme.test'),
    tests.user_id('analyst@acme.test')]);
$$;

-- starting
select tests.act_as('viewer@acme.test');
select tests.error_is('REV-01: a viewer starts no review', '42501 RBAC_PERMISSION_DENIED',
  'select pg_temp.start()');
select tests.act_as('admin@globex.test');
select tests.error_is('REV-01: nor does another organization', '42501 RBAC_PERMISSION_DENIED',
  'select pg_temp.start()');
select tests.act_as('admin@acme.test');
select tests.error_is('REV-02: it has a future end', '22023 COMPLIANCE_INVALID_REVIEW',
  $$ select start_access_review(tests.acme(), 'Late', now() - interval '1 day',
       array[tests.user_id('admin@acme.test')]) $$);
select tests.error_is('REV-02: a finite one', '22023 COMPLIANCE_INVALID_REVIEW',
  $$ select start_access_review(tests.acme(), 'Never', 'infinity',
       array[tests.user_id('admin@acme.test')]) $$);
select tests.error_is('REV-02: and reviewers', '22023 COMPLIANCE_INVALID_REVIEW',
  $$ select start_access_review(tests.acme(), 'Nobody', now() + interval '1 day', '{}') $$);
select tests.error_is('REV-02: who are members', '42501 RBAC_NOT_A_MEMBER',
  $$ select start_access_review(tests.acme(), 'Foreign', now() + interval '1 day',
       array[tests.user_id('admin@globex.test')]) $$);
select tests.error_is('REV-02: and nothing is null', '22004 COMPLIANCE_NULL_ARGUMENT',
  $$ select start_access_review(tests.acme(), 'Null', null, '{}') $$);
select isnt(pg_temp.start(), null, 'REV-03: an administrator starts one');
select is(
  (select count(*) from list_access_review(pg_temp.review())), 7::bigint,
  'REV-03: over each member and each key in force');
select ok(
  (select bool_and(l.access is not null and l.version is not null and l.email like '%@acme.test')
   from list_access_review(pg_temp.review()) l),
  'REV-03: with what they can do');
select is(
  (select count(*) from access_review_items i where i.review_id = pg_temp.review()), 7::bigint,
  'REV-04: readers of compliance see it');
select is(
  (select count(*) from (
     select id from list_access_review(pg_temp.review(), page_size => 3)
     union
     select id from list_access_review(pg_temp.review(), page_size => 1000, after => (
       select (array_agg(id order by id desc))[1]
       from list_access_review(pg_temp.review(), page_size => 3)))) p),
  7::bigint, 'REV-04: page by page');
select tests.act_as('admin@globex.test');
select is_empty('select * from access_reviews', 'REV-05: another organization sees none');
select is_empty('select * from access_review_items', 'REV-05: nor what is reviewed');
select tests.error_is('REV-05: nor lists it', 'PT404 COMPLIANCE_UNKNOWN_REVIEW',
  'select list_access_review(pg_temp.review())');
select tests.error_is('REV-05: nor decides', 'PT404 COMPLIANCE_UNKNOWN_REVIEW',
  $$ select decide_access(pg_temp.item('viewer@acme.test'), 'end') $$);
select tests.error_is('REV-05: nor closes it', 'PT404 COMPLIANCE_UNKNOWN_REVIEW',
  'select close_access_review(pg_temp.review())');
select tests.act_as('viewer@acme.test');
select tests.error_is('REV-06: a member who is no reviewer decides nothing',
  'PT404 COMPLIANCE_UNKNOWN_REVIEW',
  $$ select decide_access(pg_temp.item('api_user@acme.test'), 'end') $$);
select tests.act_as('analyst@acme.test');
select is((select count(*) from list_access_review(pg_temp.review())), 7::bigint,
  'REV-06: a reviewer lists what to decide');

-- deciding
select tests.error_is('REV-07: nobody reviews oneself', '42501 COMPLIANCE_OWN_ACCESS',
  $$ select decide_access(pg_temp.item('analyst@acme.test'), 'keep',
       pg_temp.version('analyst@acme.test')) $$);
select tests.error_is('REV-07: nor one''s own key', '42501 COMPLIANCE_OWN_ACCESS',
  $$ select decide_access(pg_temp.item('analyst@acme.test', 'theirs'), 'end') $$);
select tests.error_is('REV-08: who may not remove members ends none',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select decide_access(pg_temp.item('viewer@acme.test'), 'end') $$);
select tests.error_is('REV-08: and who may not revoke keys no key', 'PT404 API_KEY_NOT_FOUND',
  $$ select decide_access(pg_temp.item('admin@acme.test', 'own'), 'end') $$);
select is(
  (select count(*) from list_access_review(pg_temp.review(), undecided => true)), 7::bigint,
  'REV-08: and nothing is decided by that');
select is(
  (decide_access(pg_temp.item('viewer@acme.test'), 'keep',
    pg_temp.version('viewer@acme.test'), 'Needs it')).outcome::text, 'kept',
  'REV-09: a reviewer keeps what was listed');
select tests.error_is('REV-09: once', 'PT409 COMPLIANCE_ALREADY_DECIDED',
  $$ select decide_access(pg_temp.item('viewer@acme.test'), 'keep',
       pg_temp.version('viewer@acme.test')) $$);
select tests.error_is('REV-10: without its version nothing is kept',
  'PT409 COMPLIANCE_ACCESS_CHANGED',
  $$ select decide_access(pg_temp.item('api_user@acme.test'), 'keep') $$);
create temporary table seen as select pg_temp.version('api_user@acme.test') as version;
grant all on seen to public;
select tests.act_as('admin@acme.test');
select grant_role(tests.user_id('api_user@acme.test'), 'admin', tests.acme());
select tests.act_as('analyst@acme.test');
select tests.error_is('REV-10: nor access that has grown since', 'PT409 COMPLIANCE_ACCESS_CHANGED',
  $$ select decide_access(pg_temp.item('api_user@acme.test'), 'keep', version) from seen $$);
select tests.error_is('REV-11: a note has some characters', '22023 COMPLIANCE_INVALID_NOTE',
  $$ select decide_access(pg_temp.item('api_user@acme.test'), 'end', null, ' ') $$);
select tests.error_is('REV-11: a decision is one', '22004 COMPLIANCE_NULL_ARGUMENT',
  $$ select decide_access(pg_temp.item('api_user@acme.test'), null) $$);
select tests.error_is('REV-11: an item that does not exist is the same as a foreign one',
  'PT404 COMPLIANCE_UNKNOWN_REVIEW', $$ select decide_access(gen_random_uuid(), 'end') $$);

-- ending
select tests.act_as('admin@acme.test');
select is(
  (decide_access(
    pg_temp.item('api_user@acme.test'), 'end', null, 'Left the project'
  )).outcome::text,
  'ended', 'REV-12: an administrator ends the access of a member');
select tests.act_as_owner();
select ok(bulwark_private.is_member(tests.user_id('api_user@acme.test'), tests.acme()) is false,
  'REV-12: who is no member any more');
select tests.act_as('second@acme.test');
select is(
  (decide_access(pg_temp.item('admin@acme.test', 'own'), 'end')).outcome::text, 'ended',
  'REV-13: a key is ended by another');
select tests.act_as_owner();
select is((select revoked_because from bulwark.api_keys where name = 'own'),
  'Ended by an access review', 'REV-13: and revoked');
select tests.act_as('second@acme.test');
-- a role that outranks: one of a super_admin, who is a member too
select tests.act_as_owner();
select create_role(tests.acme(), 'stewards', '{user:read,user:delete,role:grant}');
select grant_role(tests.create_user('steward@acme.test'), 'stewards', tests.acme());
select tests.act_as('second@acme.test');
select start_access_review(tests.acme(), 'Fourth quarter', now() + interval '20 days',
  array[tests.user_id('steward@acme.test'), tests.user_id('second@acme.test')]);
select tests.act_as('steward@acme.test');
select tests.error_is('REV-14: a reviewer ends nothing that outranks them',
  '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select decide_access(pg_temp.item('admin@acme.test'), 'end') $$);
select ok(
  exists (select from list_members(tests.acme()) where email = 'admin@acme.test')
    and (select decision is null from list_access_review(pg_temp.review(), page_size => 1000)
         where id = pg_temp.item('admin@acme.test')),
  'REV-14: and nothing happened');
select tests.act_as('second@acme.test');
select remove_member(tests.acme(), tests.user_id('viewer@acme.test'));
select is(
  (decide_access(pg_temp.item('viewer@acme.test'), 'keep', 'any')).outcome::text, 'gone',
  'REV-15: access that ended before is gone, whatever is decided');

-- reminders
select tests.act_as_owner();
select is((select count(*) from bulwark.access_reviews where organization_id = tests.acme()
  and closed_at is null), 2::bigint, 'REV-16: two reviews are open');
select is(remind_access_reviews(), 1, 'REV-16: of the one that is due soon everybody is reminded');
select is(remind_access_reviews(), 0, 'REV-16: once a day');
select is(
  (select row(e.action, e.organization_id, e.details ->> 'undecided',
     jsonb_array_length(e.details -> 'reviewers'))::text
   from bulwark.audit_logs e where e.event_type = 'compliance.review_due'
   order by e.id desc limit 1),
  row('due', tests.acme(), '4', 3)::text, 'REV-16: by an entry, which webhooks deliver');
select ok(exists (select from bulwark_private.jobs where name = 'compliance-reminders'),
  'REV-16: a job does it');

-- closing, and the evidence
select tests.act_as('steward@acme.test');
select tests.act_as('analyst@acme.test');
create temporary table first as
select id from bulwark.access_reviews where false;
select tests.act_as_owner();
insert into first select id from bulwark.access_reviews where name = 'Third quarter';
grant all on first to public;
select tests.act_as('analyst@acme.test');
select tests.error_is('REV-17: a reviewer closes no review', '42501 RBAC_PERMISSION_DENIED',
  'select close_access_review(id) from first');
select tests.act_as('admin@acme.test');
create temporary table closed as select close_access_review(id) as totals from first;
select is(totals - 'sha256' - 'due_at',
  '{"name": "Third quarter", "items": 7, "undecided": 4, "kept": 1, "ended": 2, "gone": 0,
    "in_time": true}', 'REV-17: who grants roles does, and sees the totals') from closed;
select tests.error_is('REV-17: once', 'PT409 COMPLIANCE_REVIEW_CLOSED',
  'select close_access_review(id) from first');
select tests.error_is('REV-18: then nothing is decided any more', 'PT409 COMPLIANCE_REVIEW_CLOSED',
  $$ select decide_access(i.id, 'end') from access_review_items i, first f
     where i.review_id = f.id and i.decision is null
       and i.user_id = tests.user_id('second@acme.test') $$);
select tests.error_is('REV-19: no client writes reviews', '42501',
  'update access_review_items set note = null');
select tests.error_is('REV-19: nor deletes them', '42501', 'delete from access_reviews');
select tests.act_as_owner();
select is(
  (select e.details ->> 'sha256' from bulwark.audit_logs e
   where e.event_type = 'compliance.review_closed' order by e.id desc limit 1),
  (select encode(sha256(convert_to(jsonb_agg(to_jsonb(i) order by i.id)::text, 'utf8')), 'hex')
   from bulwark.access_review_items i, first f where i.review_id = f.id),
  'REV-20: the entry of the closing has the hash of all decisions');
select ok(
  tests.error(
    $$ update bulwark.access_review_items set note = 'Other' where decision is not null $$
  ) is not null,
  'REV-20: not even the owner changes a decision with the triggers on');
select ok(
  tests.error('update bulwark.access_reviews set closed_at = null where closed_at is not null')
    is not null, 'REV-20: or opens a closed review');
select ok(
  exists (select from bulwark.audit_logs e where e.resource_type = 'bulwark.access_review_items'
    and e.actor_id = tests.user_id('analyst@acme.test') and e.after ->> 'decision' = 'keep'),
  'REV-21: each decision is an entry');
select is(
  (select e.after ->> 'note' from bulwark.audit_logs e
   where e.resource_type = 'bulwark.access_review_items' and e.after ->> 'outcome' = 'ended'
     and e.after ? 'note' limit 1), 'Left the project', 'REV-21: with its note');

-- readers who may not list members
select create_role(tests.acme(), 'auditors', '{compliance:read}');
select grant_role(tests.create_user('auditor@acme.test'), 'auditors', tests.acme());
select tests.act_as('auditor@acme.test');
select is(
  (select row(count(*), count(l.email), count(l.name), count(l.access))::text
   from first f, list_access_review(f.id) l),
  '(7,0,0,7)', 'REV-24: who may not list members reads a review without their names');
select tests.act_as_owner();

-- reviewers who are none any more, and MFA
select revoke_role(tests.user_id('steward@acme.test'), 'stewards', tests.acme());
select tests.act_as('steward@acme.test');
select tests.error_is('REV-22: a reviewer who has left decides nothing',
  'PT404 COMPLIANCE_UNKNOWN_REVIEW',
  $$ select decide_access(pg_temp.item('analyst@acme.test'), 'end') $$);
select tests.act_as_owner();
insert into bulwark.mfa_policies (organization_id, required_from)
values (tests.acme(), now() - interval '1 minute');
select tests.act_as('admin@acme.test');
select tests.error_is('REV-23: where a second factor is required, it is for reviews',
  '42501 MFA_REQUIRED', 'select pg_temp.start()');

select * from finish();
rollback;
