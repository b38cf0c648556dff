-- Encryption in the database: access to keys, declared columns, rotation, shredding.
begin;
set local search_path = bulwark, public, extensions;
select plan(62);
select tests.create_organizations();

create table public.people (
  id bigint generated always as identity primary key,
  organization_id uuid,
  email text,
  phone text,
  born date
);
create table public.pairs (a int, b int, email text, primary key (a, b));
select bulwark.declare_encrypted_column(
  'public.people', 'email', organization_column => 'organization_id', blind_index => true
);

-- A stand-in for a value under a key: the database checks only its form.
create function tests.ciphertext(key uuid, filler text default 'A')
  returns text language sql as $$
  select 'bw1.a256gcm.'
    || translate(left(encode(uuid_send(key), 'base64'), 22), '+/', '-_')
    || '.' || repeat(filler, 110);
$$;
create function tests.wrapped(kek text, filler text default 'A')
  returns text language sql as $$ select 'bwk1.' || kek || '.' || repeat(filler, 150); $$;
create function tests.key(number int) returns uuid language sql as $$
  select ('00000000-0000-4000-8000-' || lpad(number::text, 12, '0'))::uuid;
$$;

-- declared columns
select tests.error_is('ENC-01: a declared column refuses plaintext, from its owner too', '23514',
  $$ insert into public.people (email) values ('ada@example.com') $$);
select tests.error_is('ENC-02: a declared column refuses what only begins like ciphertext', '23514',
  $$ insert into public.people (email) values (tests.ciphertext(tests.key(1)) || ' x') $$);
select lives_ok(
  $$ insert into public.people (email) values (tests.ciphertext(tests.key(1))), (null) $$,
  'ENC-03: a declared column takes ciphertext, and null'
);
select tests.error_is('ENC-04: the column of a blind index refuses plaintext', '23514',
  $$ insert into public.people (email_index) values ('ada@example.com') $$);
insert into public.people (phone) values ('555-0100');
select tests.error_is('ENC-05: a column that holds plaintext is not declared',
  '23514 ENCRYPTION_PLAINTEXT_PRESENT',
  $$ select bulwark.declare_encrypted_column('public.people', 'phone') $$);
select tests.error_is('ENC-06: a column that is not text is not declared',
  '42703 ENCRYPTION_UNKNOWN_COLUMN',
  $$ select bulwark.declare_encrypted_column('public.people', 'born') $$);
select tests.error_is('ENC-07: nor with an organization that is a date',
  '42703 ENCRYPTION_UNKNOWN_COLUMN',
  $$ select bulwark.declare_encrypted_column('public.people', 'email', 'born') $$);
select tests.error_is('ENC-08: a table needs a primary key of one column',
  '42809 ENCRYPTION_NOT_A_TABLE',
  $$ select bulwark.declare_encrypted_column('public.pairs', 'email') $$);
create table public.by_day (day timestamptz primary key, note text);
select tests.error_is('ENC-08: nor a type of several spellings', '42809 ENCRYPTION_NOT_A_TABLE',
  $$ select bulwark.declare_encrypted_column('public.by_day', 'note') $$);
drop table public.by_day;
select tests.error_is('ENC-09: an argument that must be given is not null',
  '22023 ENCRYPTION_INVALID_ARGUMENT',
  $$ select bulwark.declare_encrypted_column('public.people', null) $$);
select lives_ok(
  $$ select bulwark.declare_encrypted_column(
       'public.people', 'email', organization_column => 'organization_id', blind_index => true
     ) $$,
  'ENC-10: a column may be declared again'
);
select isnt_empty(
  $$ select from bulwark.audit_logs where resource_type = 'bulwark_private.encrypted_columns' $$,
  'ENC-11: that a column was declared is on record'
);

-- Only the columns declared here are tested.
delete from bulwark_private.encrypted_columns c
  where c.relation::text ~ '^(bulwark\.)?webhook_|^bulwark_private\.';

-- clients have no access to keys
select set_eq(
  $$ select p.proname::text from pg_proc p
     where p.pronamespace = 'bulwark'::regnamespace
       and has_function_privilege('authenticated', p.oid, 'execute')
       and p.proname ~ '(key|encrypt|shred|field_access|rewrap)' and p.proname !~ 'api_key' $$,
  array[
    'shred_organization', 'authorize_field_access', 'encryption_progress', 'key_encryption_status',
    'encryption_overview', 'retry_reencryption'
  ],
  'ENC-12: of all that touches keys clients call six functions'
);
select is(
  tests.error_as('super@bulwark.test', 'authenticated', $$ select bulwark.read_data_keys('{}') $$),
  '42501', 'ENC-13: not even a super_admin reads wrapped keys'
);
select is(
  tests.error_as('super@bulwark.test', 'service_role', $$ select from bulwark_private.data_keys $$),
  '42501', 'ENC-14: the service role reads wrapped keys through functions alone'
);

-- keys, created as functions do
select tests.act_as_role('service_role');
select bulwark.register_key_encryption_key('k1', 'raw', 'check');
select bulwark.register_key_encryption_key('k1', 'raw', 'another');
select is(
  (select check_value from bulwark.find_key_encryption_key('k1')), 'check',
  'ENC-15: a registered key-encryption key keeps its check value'
);
select tests.error_is('ENC-16: a passphrase with fewer than 600,000 rounds is not registered',
  '23514',
  $$ select bulwark.register_key_encryption_key('weak', 'pbkdf2-sha256', 'c',
    'AAAAAAAAAAAAAAAAAAAAAA', 599999) $$);
select is(
  (select id from bulwark.reserve_data_key('field', 10, tests.acme())), null,
  'ENC-17: an organization begins without a key'
);
select ok(
  bulwark.add_data_key(
    tests.key(1), 'field', tests.wrapped('k1'), 0, tests.acme()
  ),
  'ENC-18: the first key of an organization becomes the current one'
);
select ok(
  not bulwark.add_data_key(
    tests.key(9), 'field', tests.wrapped('k1'), 0, tests.acme()
  ),
  'ENC-19: the second of two callers adds nothing'
);
select tests.error_is('ENC-20: a key that is not wrapped is refused', '23514',
  $$ select bulwark.add_data_key(tests.key(9), 'field', 'in the open', 1, tests.acme()) $$);
select tests.error_is('ENC-21: a key wrapped by nobody known is refused', '23503',
  $$ select bulwark.add_data_key(tests.key(9), 'field', tests.wrapped('k9'), 1, tests.acme()) $$);
select tests.error_is('ENC-22: an organization that does not exist gets no key',
  'PT404 RBAC_UNKNOWN_ORGANIZATION',
  $$ select bulwark.add_data_key(tests.key(9), 'field', tests.wrapped('k1'), 0, gen_random_uuid())
    $$);
select bulwark.add_data_key(tests.key(2), 'field', tests.wrapped('k1'), 0, tests.globex());
select is(
  (select array_agg(granted) from (
    select (bulwark.reserve_data_key('field', 1000, tests.acme())).granted
    from generate_series(1, 3)
  ) g),
  '{1000,1000,1000}', 'ENC-23: messages are set aside'
);
select tests.error_is('ENC-24: nobody gives messages back', '22023 ENCRYPTION_INVALID_ARGUMENT',
  $$ select bulwark.reserve_data_key('field', -1, tests.acme()) $$);

-- the message limit
select tests.act_as_owner();
select is(
  (select messages from bulwark_private.data_keys where id = tests.key(1)), 3000::bigint,
  'ENC-25: what was set aside is counted'
);
update bulwark.settings set value = '3500' where name = 'encryption.messages_per_key';
select tests.act_as_role('service_role');
select is(
  (select array_agg(granted) from (
    select (bulwark.reserve_data_key('field', 400, tests.acme())).granted
    from generate_series(1, 3)
  ) g),
  '{400,100,0}', 'ENC-26: a key grants no more than its limit'
);
select tests.act_as_owner();
update bulwark.settings set value = '99999999999' where name = 'encryption.messages_per_key';
update bulwark_private.data_keys set messages = 4294967290 where id = tests.key(1);
select tests.act_as_role('service_role');
select is(
  (select granted from bulwark.reserve_data_key('field', 400, tests.acme())), 6,
  'ENC-27: whatever the setting says, no key grants more than 2^32'
);

-- rotation
select tests.act_as_owner();
delete from public.people;
insert into public.people (organization_id, email, email_index)
select tests.acme(), tests.ciphertext(tests.key(1)), null
from generate_series(1, 5);
insert into public.people (organization_id, email)
values (tests.globex(), tests.ciphertext(tests.key(2)));
select tests.act_as_role('service_role');
select bulwark.add_data_key(tests.key(3), 'field', tests.wrapped('k1'), 1, tests.acme());
create temporary table batch as select * from bulwark.next_reencryption_batch(2);
select is(
  (select jsonb_array_length(batch) from batch), 2, 'ENC-28: a batch has as many rows as asked for'
);
select is_empty(
  $$ select from bulwark.next_reencryption_batch(2) $$, 'ENC-29: a batch that is lent is lent once'
);
-- A concurrent write to one of the two rows.
select tests.act_as_owner();
update public.people set email = tests.ciphertext(tests.key(3), 'M')
where id = (select (batch -> 0 ->> 'k')::bigint from batch);
select tests.act_as_role('service_role');
select is(
  (
    select bulwark.apply_reencryption_batch(
      b.reencryption_id, b.next_place,
      (
        select jsonb_agg(r || jsonb_build_object(
          'n', tests.ciphertext(tests.key(3), 'N'),
          'i', 'bwi1.' || repeat('A', 22) || '.' || repeat('A', 43)
        ))
        from jsonb_array_elements(b.batch) r
      ),
      place => b.place
    )
    from batch b
  ),
  1, 'ENC-30: a row that changed since it was read is left as it is'
);
select is(
  (
    select bulwark.apply_reencryption_batch(
      b.reencryption_id, b.next_place, b.batch, place => b.place
    )
    from batch b
  ),
  0, 'ENC-31: a batch is not applied twice'
);
select tests.act_as_owner();
select results_eq(
  $$ select right(email, 1), count(*) from public.people
     where organization_id = tests.acme() group by 1 order by 1 $$,
  $$ values ('A', 3::bigint), ('M', 1), ('N', 1) $$,
  'ENC-32: the concurrent write is there, and so is the batch'
);
select is(
  (select right(email, 1) from public.people
   where organization_id = tests.globex()),
  'A', 'ENC-33: another organization''s rows are not touched'
);
update bulwark_private.reencryptions set leased_until = now() - interval '1 second';
drop table batch;
select tests.act_as_role('service_role');
create temporary table batch as select * from bulwark.next_reencryption_batch(100);
select is(
  (select jsonb_array_length(batch) from batch), 3, 'ENC-34: the next batch comes after the last'
);
select bulwark.apply_reencryption_batch(
  b.reencryption_id, b.next_place, '[]',
  (select jsonb_agg(jsonb_build_object('k', r ->> 'k', 'f', 'tampered'))
   from jsonb_array_elements(b.batch) r),
  b.place
)
from batch b;
drop table batch;
create temporary table batch as select * from bulwark.next_reencryption_batch(100);
select is(
  (select jsonb_array_length(batch) from batch), 3,
  'ENC-35: what did not decrypt is tried once more in a pass of its own'
);
select bulwark.apply_reencryption_batch(
  b.reencryption_id, b.next_place, '[]',
  (select jsonb_agg(jsonb_build_object('k', r ->> 'k', 'f', 'tampered'))
   from jsonb_array_elements(b.batch) r),
  b.place
)
from batch b;
select is_empty(
  $$ select from bulwark.next_reencryption_batch(100) $$, 'ENC-36: and then it waits'
);
select tests.act_as('admin@acme.test');
select is(
  (select state from bulwark.encryption_progress(tests.acme())), 'settling',
  'ENC-36: since functions may still write under the old key'
);
select tests.act_as_owner();
update bulwark.settings set value = '0' where name = 'encryption.settle_seconds';
select tests.act_as_role('service_role');
select bulwark.apply_reencryption_batch(
  b.reencryption_id, b.next_place, '[]',
  (select jsonb_agg(jsonb_build_object('k', r ->> 'k', 'f', 'tampered'))
   from jsonb_array_elements(b.batch) r),
  b.place
)
from bulwark.next_reencryption_batch(100) b;
select is_empty($$ select from bulwark.next_reencryption_batch(100) $$, 'ENC-36: and then it ends');
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select state, total, done, failed
     from bulwark.encryption_progress(tests.acme()) $$,
  $$ values ('incomplete', 5::bigint, 1::bigint, 3::bigint) $$,
  'ENC-37: encryption:rotate shows progress and failures'
);
select tests.act_as_owner();
savepoint stuck;
update bulwark_private.reencryptions set state = 'running',
  leased_until = now() - interval '1 hour';
select tests.act_as_role('service_role');
select bulwark.add_data_key(tests.key(4), 'field', tests.wrapped('k1'), 1, tests.globex());
select is(
  (select (batch -> 0 ->> 'o')::uuid from bulwark.next_reencryption_batch(100)),
  tests.globex(),
  'ENC-37: a batch that nobody could finish does not keep those of others waiting'
);
rollback to savepoint stuck;
select tests.act_as('admin@acme.test');
select is(
  (select array[
     jsonb_path_query_array(o, '$.keys[*] ? (@.purpose == "field").version')::text,
     o #>> '{reencryptions,0,state}', o #>> '{reencryptions,0,failed}',
     (o -> 'failures' @> '[{"column": "email"}]')::text,
     (select sum((f -> 'rows')::int)::text from jsonb_array_elements(o -> 'failures') f),
     (o -> 'columns' @> '[{"table": "people", "column": "email", "blind_index": true}]'
       or o -> 'columns' @> '[{"table": "public.people", "column": "email"}]')::text,
     o ->> 'shredded_at'
   ] from encryption_overview(tests.acme()) o),
  array['[2, 1]', 'incomplete', '3', 'true', '3', 'true', null],
  'ENC-50: an overview has the keys, the columns and the rows that failed'
);
select is(
  encryption_overview(tests.acme())::text ~ 'bwk1|wrapped', false, 'ENC-50: and no key'
);
select tests.error_is('ENC-51: of another organization ' || call, '42501 RBAC_PERMISSION_DENIED',
  format('select %s(tests.globex())', call))
from unnest('{encryption_overview,retry_reencryption}'::text[]) as call;
select tests.error_is('ENC-51: and of the installation ' || call, '42501 RBAC_PERMISSION_DENIED',
  format('select %s()', call))
from unnest('{encryption_overview,retry_reencryption}'::text[]) as call;
select tests.act_as('admin@globex.test');
select is(retry_reencryption(tests.globex()), 0, 'ENC-52: nobody retries for another organization');
select tests.act_as('analyst@acme.test');
select tests.error_is('ENC-52: nor without encryption:rotate', '42501 RBAC_PERMISSION_DENIED',
  'select retry_reencryption(tests.acme())');
select tests.act_as_owner();
savepoint retried;
select tests.act_as('admin@acme.test');
select is(retry_reencryption(tests.acme()), 1, 'ENC-53: an administrator retries');
select is(
  (select array[(o #>> '{reencryptions,0,state}'), (o #>> '{reencryptions,0,failed}'),
     o ->> 'failures'] from encryption_overview(tests.acme()) o),
  array['running', '0', '[]'], 'ENC-53: then it runs again, without failures'
);
select is(retry_reencryption(tests.acme()), 0, 'ENC-53: once');
select is(
  (select array[actor_id::text, details ->> 'retried'] from audit_logs
   where action = 'retry_reencryption' and organization_id = tests.acme()),
  array[tests.user_id('admin@acme.test')::text, '1'], 'ENC-54: and that is in the log'
);
rollback to savepoint retried;
select tests.act_as('admin@acme.test');
select tests.error_is('ENC-38: of another organization nobody sees it',
  '42501 RBAC_PERMISSION_DENIED', $$ select bulwark.encryption_progress(tests.globex()) $$);
select tests.error_is('ENC-39: key-encryption keys are the installation''s business',
  '42501 RBAC_PERMISSION_DENIED', $$ select bulwark.key_encryption_status() $$);

-- shredding
select tests.error_is('ENC-40: an administrator does not shred the organization',
  '42501 RBAC_PERMISSION_DENIED', $$ select bulwark.shred_organization(tests.acme(), 'acme') $$);
select tests.act_as('super@bulwark.test');
select tests.error_is('ENC-41: the slug has to confirm it', 'PT404 RBAC_UNKNOWN_ORGANIZATION',
  $$ select bulwark.shred_organization(tests.acme(), 'globex') $$);
select is(
  bulwark.shred_organization(tests.acme(), 'acme'), 2,
  'ENC-42: a super_admin shreds an organization'
);
select tests.error_is('ENC-43: what is destroyed stays destroyed', 'PT410 ENCRYPTION_KEY_DESTROYED',
  $$ select bulwark.shred_organization(tests.acme(), 'acme') $$);
select tests.act_as_role('service_role');
select tests.error_is('ENC-44: a shredded organization gets no new key',
  'PT410 ENCRYPTION_KEY_DESTROYED',
  $$ select bulwark.add_data_key(tests.key(9), 'field', tests.wrapped('k1'), 3, tests.acme()) $$);
select tests.act_as_owner();
select results_eq(
  $$ select count(*), count(wrapped_key) from bulwark_private.data_keys
     where organization_id = tests.acme() $$,
  $$ values (2::bigint, 0::bigint) $$,
  'ENC-45: of destroyed keys the rows are left and nothing in them'
);
delete from bulwark.organizations where slug = 'globex';
select results_eq(
  $$ select count(*), count(wrapped_key) from bulwark_private.data_keys where id = tests.key(2) $$,
  $$ values (1::bigint, 0::bigint) $$, 'ENC-46: an organization that is deleted is shredded'
);

select * from finish();
rollback;
