-- Keys of organizations that the host has: which id each of them is.
begin;
set local search_path = bulwark, public, extensions;
select plan(11);

select is(
  organization_id('0199f6a0-0000-7000-8000-00000000ACE1'), '0199f6a0-0000-7000-8000-00000000ace1',
  'OKY-01: a UUID is its own id, in either case'
);
-- Computed with another program: a restore or another server gives the same.
select is(
  organization_id('42'), '7b4d17ef-22a1-84d6-8a8f-394bae5b21d1',
  'OKY-02: any other key is a part of its SHA-256'
);
select is(
  organization_id('42'), bulwark_private.organization_of('42'),
  'OKY-03: clients compute what the database does'
);
select isnt(organization_id('42'), organization_id('042'), 'OKY-04: keys are compared as text');
select isnt(organization_id('acme'), organization_id('Acme'), 'OKY-05: and in their case');
select is(organization_id(null), null, 'OKY-06: null is no organization');
select is(
  (select count(distinct organization_id(n::text)) from generate_series(1, 10000) as n),
  10000::bigint,
  'OKY-07: ten thousand keys have ten thousand ids'
);
select is(
  (select bool_and(bulwark_private.is_hashed_id(organization_id(n::text)::text))
    from generate_series(1, 100) as n), true,
  'OKY-08: the form of a computed id is known, so that no key can pretend to be one'
);
select is(
  (select count(*) from generate_series(1, 100)
    where bulwark_private.is_hashed_id(gen_random_uuid()::text)),
  0::bigint, 'OKY-09: and no random UUID has it'
);
select is(
  (select array_agg(bulwark_private.is_hashed_id(k)) from unnest('{42, acme, ""}'::text[]) as k),
  '{f,f,f}', 'OKY-10: nor a key that is no UUID'
);
select tests.create_user('vic@keys.test');
select tests.act_as('vic@keys.test');
select is(
  organization_id('42'), '7b4d17ef-22a1-84d6-8a8f-394bae5b21d1',
  'OKY-11: anybody signed in computes it'
);
select * from finish();
rollback;
