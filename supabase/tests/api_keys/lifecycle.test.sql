-- API keys: rotating, revoking, listing, and what an organization decides about them.
begin;
set local search_path = bulwark, public, extensions;
select plan(61);
select tests.create_organizations();
select bulwark.grant_role(tests.user_id('analyst@acme.test'), 'admin', tests.acme());
create temporary table key (name text primary key, id uuid, api_key text);
grant select, insert on key to public;
create function pg_temp.issue(
  email text, name text, scopes text[] default '{analytics:read,analytics:write}',
  more text default ''
) returns text language sql as $$
  select tests.error_as(email, 'authenticated', format(
    'insert into pg_temp.key select %L, k.id, k.api_key
     from bulwark.create_api_key(%L, %L, %L %s) k',
    name, tests.acme(), name, scopes, more
  ));
$$;
create function pg_temp.rotate(email text, name text, successor text, more text default '')
  returns text language sql as $$
  select tests.error_as(email, 'authenticated', format(
    'insert into pg_temp.key select %L, r.id, r.api_key
     from bulwark.rotate_api_key((select k.id from key k where k.name = %L) %s) r',
    successor, rotate.name, more
  ));
$$;
create function pg_temp.revoke(email text, name text, because text default 'not needed')
  returns text language sql as $$
  select tests.error_as(email, 'authenticated', format(
    'select bulwark.revoke_api_key((select k.id from key k where k.name = %L), %L)',
    revoke.name, because
  ));
$$;
-- The answer of the exchange for a key.
create function pg_temp.in_force(name text) returns boolean language sql as $$
  select e.api_key_id is not null
  from key k, bulwark.exchange_api_key(encode(sha256(convert_to(k.api_key, 'UTF8')), 'hex')) e
  where k.name = in_force.name;
$$;

-- issuing
select is(pg_temp.issue('admin@acme.test', 'script'), 'no error', 'KEY-30: (a key)');
select ok(pg_temp.in_force('script'), 'KEY-30: a key that was issued is in force');
select is(
  pg_temp.issue('admin@acme.test', problem, '{analytics:read}', more), problem,
  'KEY-31: no key is issued with ' || more
)
from (values
  (', now() - interval ''1 minute''', '22023 API_KEY_INVALID_EXPIRY'),
  (', now() + interval ''366 days''', '22023 API_KEY_INVALID_EXPIRY'),
  (', ''infinity''', '22023 API_KEY_INVALID_EXPIRY'),
  (', environment => ''stage''', '22023 API_KEY_UNKNOWN_ENVIRONMENT'),
  (', environment => null', '22023 API_KEY_UNKNOWN_ENVIRONMENT'),
  (', rate_limit_rule => ''none''', '22023 RATE_LIMIT_UNKNOWN_RULE'),
  (', rate_limit_rule => ''auth_login''', '42501 API_KEY_RULE_NOT_OPEN')
) as c (more, problem);
select is(
  tests.error_as('admin@acme.test', 'authenticated', format(
    'select bulwark.create_api_key(%L, %L, %L)', tests.acme(), name, scopes
  )), problem, 'KEY-31: nor without a name or a scope'
)
from (values
  ('  ', '{analytics:read}', '22023 API_KEY_INVALID_NAME'),
  (E'a\nb', '{analytics:read}', '22023 API_KEY_INVALID_NAME'),
  ('a', '{}', '22023 API_KEY_INVALID_SCOPES'),
  ('a', '{analytics:read,null}', '22023 API_KEY_INVALID_SCOPES')
) as c (name, scopes, problem);
update bulwark.settings set value = '1' where name = 'api_keys.limit_per_owner';
select is(
  pg_temp.issue('admin@acme.test', 'one too many'), '42501 API_KEY_TOO_MANY',
  'KEY-32: nor more than one member may have'
);
update bulwark.settings set value = '50' where name = 'api_keys.limit_per_owner';
select tests.act_as('admin@acme.test');
select tests.error_is('KEY-33: nobody writes a key', '42501',
  $$ insert into bulwark.api_keys default values $$);
select tests.error_is('KEY-33: or reads a hash', '42501',
  $$ select from bulwark_private.api_key_hashes $$);
select tests.act_as_owner();

-- rotating
select is(
  pg_temp.rotate('analyst@acme.test', 'script', 'stolen'), 'PT404 API_KEY_NOT_FOUND',
  'KEY-34: an administrator does not rotate a key that acts for somebody else'
);
select is(
  pg_temp.rotate('admin@globex.test', 'script', 'stolen'), 'PT404 API_KEY_NOT_FOUND',
  'KEY-34: nor does a stranger, and the answer is the same'
);
select is(
  pg_temp.rotate('admin@acme.test', 'script', 'x', ', ' || overlap),
  '22023 API_KEY_INVALID_OVERLAP', 'KEY-35: no overlap is ' || overlap
)
from unnest(array['''-1 second''', '''31 days''', '''1200 mons -35970 days''',
  '''-1200 mons 36001 days''', null]) as o (list)
cross join lateral (select coalesce(o.list, 'null') as overlap) as l;
select is(
  pg_temp.rotate('admin@acme.test', 'script', 'script 2', ', ''1 hour'''), 'no error',
  'KEY-36: its owner does'
);
select results_eq(
  $$ select s.scopes = p.scopes, s.name = p.name, p.expires_at = now() + interval '1 hour',
       s.expires_at::date = (now() + interval '90 days')::date
     from bulwark.api_keys s join bulwark.api_keys p on p.id = s.rotated_from
     join key k on k.id = s.id and k.name = 'script 2' $$,
  $$ values (true, true, true, true) $$,
  'KEY-36: the successor takes its place, and it ends with the overlap'
);
select ok(
  pg_temp.in_force('script') and pg_temp.in_force('script 2'), 'KEY-36: until then both work'
);
select is(
  pg_temp.rotate('admin@acme.test', 'script', 'twin'), 'PT409 API_KEY_ALREADY_ROTATED',
  'KEY-37: a key has one successor'
);
select is(
  pg_temp.rotate('admin@acme.test', 'script 2', 'script 3', ', ''0'''), 'no error',
  'KEY-38: without an overlap'
);
select ok(
  not pg_temp.in_force('script 2') and pg_temp.in_force('script 3'),
  'KEY-38: the old key ends at once'
);

-- Rotation does not evade limits: rotated keys still count, and a limit set for one key is copied
-- to its successor.
insert into bulwark.rate_limit_overrides (rule, api_key_id, capacity, window_seconds)
select 'api_default', id, 3, 60 from key where name = 'script 3';
savepoint rotating;
update bulwark.settings set value = '2' where name = 'api_keys.limit_per_owner';
select results_eq(
  $$ select pg_temp.rotate('admin@acme.test', 'script ' || n, 'script ' || n + 1)
     from generate_series(3, 6) as n $$,
  $$ values ('no error'), ('no error'), ('42501 API_KEY_TOO_MANY'), ('PT404 API_KEY_NOT_FOUND') $$,
  'KEY-38: rotating on and on makes no more keys in force than twice the limit'
);
select is(
  pg_temp.issue('admin@acme.test', 'another'), '42501 API_KEY_TOO_MANY',
  'KEY-38: and none beside them'
);
select results_eq(
  $$ select o.rule, o.capacity from bulwark.rate_limit_overrides o join key k on k.id = o.api_key_id
     where k.name = 'script 5' $$,
  $$ values ('api_default', 3::bigint) $$, 'KEY-38: a limit of the key alone is its successors'''
);
rollback to rotating;
savepoint churning;
select results_eq(
  $$ with attempts as materialized (
       select n, pg_temp.issue('super@bulwark.test', 'churn ' || n) as issued,
         pg_temp.revoke('super@bulwark.test', 'churn ' || n) as revoked
       from generate_series(1, 250) as n
     )
     select issued, count(*) from attempts group by issued order by issued desc $$,
  $$ values ('no error', 200::bigint), ('42501 API_KEY_TOO_MANY', 50) $$,
  'KEY-39: nobody has a fresh bucket for each call by issuing and revoking keys in turn'
);
rollback to churning;

-- revoking
select is(got, want, claim)
from (values
  ('KEY-39: a stranger revokes nothing',
   pg_temp.revoke('admin@globex.test', 'script 3'), 'PT404 API_KEY_NOT_FOUND'),
  ('KEY-39: nor does a member without api_key:revoke',
   pg_temp.revoke('viewer@acme.test', 'script 3'), 'PT404 API_KEY_NOT_FOUND'),
  ('KEY-39: and a key that does not exist is the same answer',
   pg_temp.revoke('viewer@acme.test', 'none'), 'PT404 API_KEY_NOT_FOUND'),
  ('KEY-40: it takes a reason',
   pg_temp.revoke('admin@acme.test', 'script 3', ' '), '22023 API_KEY_INVALID_REASON'),
  ('KEY-41: an administrator revokes another''s key',
   pg_temp.revoke('analyst@acme.test', 'script 3', 'the script is gone'), 'no error')
) as t (claim, got, want);
select ok(not pg_temp.in_force('script 3'), 'KEY-41: which ends it');
select is(
  pg_temp.revoke('admin@acme.test', 'script 3', 'another reason'), 'no error',
  'KEY-42: revoking it again changes nothing'
);
select results_eq(
  $$ select k.revoked_by = tests.user_id('analyst@acme.test'), k.revoked_because
     from bulwark.api_keys k join key t on t.id = k.id and t.name = 'script 3' $$,
  $$ values (true, 'the script is gone') $$, 'KEY-42: who was first, and why, stays'
);
select results_eq(
  $$ select e.event_type, e.actor_id = tests.user_id('analyst@acme.test'), e.details ->> 'because'
     from bulwark.audit_logs e join key k on k.name = 'script 3' and k.id::text = e.resource_id
     where e.event_type = 'api.key_revoked' $$,
  $$ values ('api.key_revoked', true, 'the script is gone') $$, 'KEY-42: and is one entry'
);
select is(
  pg_temp.rotate('admin@acme.test', 'script 3', 'again'), 'PT409 API_KEY_NOT_ACTIVE',
  'KEY-43: a revoked key has no successor'
);
select tests.error_is('KEY-43: and no way back', '23514 API_KEY_ONLY_NARROWS',
  $$ update bulwark.api_keys set revoked_at = null, revoked_because = null $$);

-- listing
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select name, status, effective_scopes, first_characters ~ '^bwk_live_....$'
     from bulwark.list_api_keys(tests.acme()) $$,
  $$ values ('script', 'active', '{analytics:read,analytics:write}'::text[], true) $$,
  'KEY-44: the list has the keys in force and what they may'
);
select is(
  (select count(*) from bulwark.list_api_keys(tests.acme(), true)), 3::bigint,
  'KEY-44: or all of them'
);
select tests.error_is('KEY-45: and is closed to those who are no members',
  '42501 RBAC_PERMISSION_DENIED', $$ select from bulwark.list_api_keys(tests.globex(), true) $$);
select results_eq(
  $$ select l.name
     from bulwark.list_api_keys(tests.acme(), true, page_size => 2) l $$,
  $$ select k.name from bulwark.api_keys k order by k.created_at desc, k.id desc limit 2 $$,
  'KEY-44: in pages'
);
select results_eq(
  $$ select l.name from bulwark.list_api_keys(tests.acme(), true, before => (
       select k.id from bulwark.api_keys k order by k.created_at desc, k.id desc offset 1 limit 1
     )) l $$,
  $$ select k.name from bulwark.api_keys k order by k.created_at desc, k.id desc offset 2 $$,
  'KEY-44: one after the other'
);
select is(
  (select count(*) from bulwark.list_api_keys(tests.acme(), true, page_size => p)),
  n, 'KEY-44: a page of ' || p || ' has ' || n
)
from (values (-1, 1::bigint), (0, 1), (2147483647, 3)) as c (p, n);
select tests.act_as('viewer@acme.test');
select is_empty(
  $$ select from bulwark.list_api_keys(tests.acme(), true)
     union all select from bulwark.api_keys $$,
  'KEY-45: a member without api_key:read sees their own, and has none'
);
select tests.act_as_owner();

-- the organization's policy
select is(
  tests.error_as('viewer@acme.test', 'authenticated', format(
    'select bulwark.set_api_key_policy(%L, false)', tests.acme()
  )), '42501 RBAC_PERMISSION_DENIED', 'KEY-46: a viewer decides nothing'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated', format(
    'select bulwark.set_api_key_policy(%L, false)', tests.acme()
  )), 'no error', 'KEY-46: an administrator says no'
);
select ok(not pg_temp.in_force('script'), 'KEY-46: which stops every key');
select is(
  pg_temp.issue('admin@acme.test', 'x'), '42501 API_KEY_NOT_ALLOWED', 'KEY-46: and the next ones'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated', format(
    'select bulwark.set_api_key_policy(%L, true, 7)', tests.acme()
  )), 'no error', 'KEY-47: or yes, for a week'
);
select is(
  pg_temp.issue('admin@acme.test', 'x', '{analytics:read}', ', now() + interval ''8 days'''),
  '22023 API_KEY_INVALID_EXPIRY', 'KEY-47: and no key is issued for longer'
);
select is(pg_temp.issue('admin@acme.test', 'week'), 'no error', 'KEY-47: (one for as long)');
select is(
  (select expires_at from bulwark.api_keys where name = 'week'), now() + interval '7 days',
  'KEY-47: nor by default'
);

select * from finish();
rollback;
