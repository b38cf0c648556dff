-- A key-encryption key that is lost, found again, or that a function could not use.
begin;
set local search_path = bulwark, public, extensions;
select plan(21);
select tests.create_organizations();

create table public.people (
  id bigint generated always as identity primary key,
  organization_id uuid,
  email text
);
select bulwark.declare_encrypted_column(
  'public.people', 'email', organization_column => 'organization_id', blind_index => true
);
create function tests.wrapped(kek text)
  returns text language sql as $$ select 'bwk1.' || kek || '.' || repeat('A', 150); $$;
create function tests.key(number int) returns uuid language sql as $$
  select ('00000000-0000-4000-8000-' || lpad(number::text, 12, '0'))::uuid;
$$;
update bulwark.settings set value = '0' where name = 'encryption.settle_seconds';

select tests.act_as_role('service_role');
select bulwark.register_key_encryption_key('k1', 'raw', 'check');
select bulwark.register_key_encryption_key('k2', 'raw', 'check');
select bulwark.choose_key_encryption_key('k1');
select bulwark.add_data_key(tests.key(1), 'field', tests.wrapped('k1'), 0, tests.acme());
select bulwark.add_data_key(tests.key(2), 'index', tests.wrapped('k1'), 0, tests.acme());
select bulwark.add_data_key(tests.key(3), 'field', tests.wrapped('k2'), 0, tests.globex());

-- faults
select bulwark.report_key_fault('k1', 'missing');
select is((select fault from bulwark.find_key_encryption_key('k1')), 'missing',
  'ENC-60: a fault that a function reports is remembered');
select bulwark.report_key_fault('k1');
select is((select fault from bulwark.find_key_encryption_key('k1')), null,
  'ENC-60: until a function could use the key again');
select tests.error_is('ENC-60: other faults are refused', '22023 ENCRYPTION_INVALID_ARGUMENT',
  $$ select bulwark.report_key_fault('k1', 'stolen') $$);
select is(
  tests.error_as('super@bulwark.test', 'authenticated',
    $$ select bulwark.report_key_fault('k1', 'wrong') $$),
  '42501', 'ENC-60: and those of clients'
);

-- who declares it lost
select tests.act_as_role('service_role');
select tests.error_is('ENC-61: the service role declares no key lost', '42501',
  $$ select bulwark.declare_key_lost('k1') $$);
select is(
  tests.error_as('super@bulwark.test', 'authenticated',
    $$ select bulwark.declare_key_lost('k1') $$),
  '42501', 'ENC-61: nor does a super_admin'
);
select tests.act_as_owner();
select tests.error_is('ENC-61: nor is an unknown one', 'PT404 ENCRYPTION_UNKNOWN_KEY',
  $$ select bulwark.declare_key_lost('k9') $$);
select tests.error_is('ENC-61: nor is one found that is not lost', 'PT404 ENCRYPTION_UNKNOWN_KEY',
  $$ select bulwark.declare_key_found('k1') $$);

-- what is lost
insert into public.people (organization_id, email)
select tests.acme(), 'bw1.a256gcm.'
  || translate(left(encode(uuid_send(tests.key(1)), 'base64'), 22), '+/', '-_')
  || '.' || repeat('A', 110);
select is(bulwark.declare_key_lost('k1'), 2,
  'ENC-62: the owner is told how many data keys are lost');
select isnt_empty(
  $$ select from bulwark.audit_logs
     where resource_type = 'bulwark_private.key_encryption_keys' and resource_id = 'k1'
       and after ->> 'lost_at' is not null $$,
  'ENC-62: that it was lost is on record'
);
select tests.act_as_role('service_role');
select is((select is_lost from bulwark.find_key_encryption_key('k1')), true,
  'ENC-63: functions learn that it is lost');
select is(
  (select array[id::text, granted::text, current_kek]
   from bulwark.reserve_data_key('field', 10, tests.acme())),
  array[null, '0', null],
  'ENC-63: so that the organization has no data key, and none is wrapped under the lost one'
);
select is_empty($$ select from bulwark.read_index_keys(tests.acme()) $$,
  'ENC-63: nor a key to search with');
select is(
  (select granted from bulwark.reserve_data_key('field', 10, tests.globex())), 10,
  'ENC-63: organizations under another key are not affected'
);
select is_empty(
  $$ select from bulwark.data_keys_to_rewrap('k2') where id in (tests.key(1), tests.key(2)) $$,
  'ENC-63: its data keys are not to be rewrapped'
);
select tests.error_is('ENC-63: it is not chosen again', 'PT404 ENCRYPTION_UNKNOWN_KEY',
  $$ select bulwark.choose_key_encryption_key('k1') $$);
select tests.error_is('ENC-66: a function that still has the lost key adds no data key under it',
  'PT410 ENCRYPTION_KEY_LOST',
  $$ select bulwark.add_data_key(tests.key(4), 'field', tests.wrapped('k1'), 0, tests.acme()) $$);
select tests.error_is('ENC-66: nor does it rewrap one under it', 'PT410 ENCRYPTION_KEY_LOST',
  $$ select bulwark.rewrap_data_keys(jsonb_build_array(jsonb_build_object(
       'id', tests.key(3), 'c', tests.wrapped('k2'), 'n', tests.wrapped('k1')))) $$);
select bulwark.add_data_key(tests.key(4), 'field', tests.wrapped('k2'), 0, tests.acme());
select is(
  (select version from bulwark.reserve_data_key('field', 1, tests.acme())), 2::bigint,
  'ENC-64: the next data key is the next version'
);
select is(
  (select batch -> 0 ->> 'c' from bulwark.next_reencryption_batch(100)
   where table_name = 'people' and column_name = 'email'),
  (select email from public.people),
  'ENC-64: and the worker looks at the lost values, to list them'
);

-- found again
select tests.act_as_owner();
select bulwark.declare_key_found('k1');
select is((select is_lost from bulwark.find_key_encryption_key('k1')), false,
  'ENC-65: a key that is found is in use again');
select * from finish();
rollback;
