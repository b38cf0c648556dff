-- Seals: the trees of RFC 6962, and the chain of seals. Real sealing needs transactions of its own
-- (tests/audit/log.test.ts); transaction ids are made up here.
begin;
set local search_path = bulwark, public, extensions;
select plan(23);
select tests.create_organizations();
select tests.start_log();

-- the trees of RFC 6962
create temporary table leaves (n integer, leaf bytea, root text);
insert into leaves values
  (1, '', '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'),
  (2, '\x00', 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'),
  (3, '\x10', 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77'),
  (4, '\x2021', 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7'),
  (5, '\x3031', '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4'),
  (6, '\x40414243', '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef'),
  (7, '\x5051525354555657', 'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c'),
  (8, '\x606162636465666768696a6b6c6d6e6f',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328');
select is(
  encode(bulwark_private.merkle_root(''), 'hex'),
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'AUS-01: the empty tree is that of RFC 6962'
);
select results_eq(
  $$ select encode(bulwark_private.merkle_root((
       select string_agg(sha256('\x00'::bytea || i.leaf), '' order by i.n)
       from leaves i where i.n <= l.n)), 'hex') from leaves l order by l.n $$,
  $$ select root from leaves order by n $$,
  'AUS-02: and so are the trees of one to eight leaves'
);
select is_empty(
  $$ with tree as (
       select size, string_agg(sha256('\x00'::bytea || int4send(i)), '' order by i) as leaves
       from generate_series(1, 70) as size, generate_series(1, size) as i group by size)
     select size, i from tree, generate_series(0, size - 1) as i
     where tests.follow_path(
       substring(leaves from i * 32 + 1 for 32), i, size, bulwark_private.merkle_path(leaves, i)
     ) is distinct from bulwark_private.merkle_root(leaves) $$,
  'AUS-03: every path of trees of up to 70 leaves leads to the root'
);

-- sealing
-- The entries of this file's set-up belong to this transaction and are sealed first.
select is(tests.seal_log(0), 1, 'AUS-07: the first seal takes what was there');
select tests.log_entry(1, 'acme', n) from generate_series(1, 3) as n;
select tests.log_entry(2, 'globex', n) from generate_series(1, 2) as n;
select is(tests.seal_log(2, '1'), 2, 'AUS-08: a seal takes what its snapshot saw finished');
select is(
  (select sum(entry_count)::int from bulwark_private.audit_groups,
    tests.base b where seal = b.last + 2), 2,
  'AUS-09: and not what a transaction still open then wrote'
);
select tests.log_entry(3, 'acme', 4);
select is(
  tests.seal_log(3), 3, 'AUS-10: the transaction that was open is in the seal after it ended'
);
select results_eq(
  $$ select entry_count::int from bulwark_private.audit_groups, tests.base b
    where seal = b.last + 3 $$,
  $$ values (4) $$, 'AUS-11: with the newer entries'
);
select is(tests.seal_log(3), null, 'AUS-12: nothing new makes no seal');
select is(tests.seal_log(2), null, 'AUS-13: an older picture makes none either');
select tests.log_entry(4, 'acme', 5), tests.log_entry(4, 'globex', 3);
select is(tests.seal_log(4), 4, 'AUS-14: two organizations share a seal');
select tests.log_entry(5, 'globex', 4);
select is(tests.seal_log(5), 5, 'AUS-15: and the chain goes on');
select results_eq(
  $$ select s.number - b.last, s.previous_hash = p.hash from bulwark_private.audit_seals s
     join bulwark_private.audit_seals p on p.number = s.number - 1, tests.base b
     where s.number > b.last + 1 order by 1 $$,
  $$ values (2::bigint, true), (3, true), (4, true), (5, true) $$,
  'AUS-16: seals are chained'
);
select is(tests.log_verdict(), 't t', 'AUS-17: the log verifies');
select is(tests.log_verdict('acme'), 't t', 'AUS-18: and so does one organization''s');

-- the chain cannot be entered sideways
select tests.error_is('AUS-19: whatever an insert into the seals says', 'no error',
  $$ insert into bulwark_private.audit_seals
    (number, timeline, sealed_at, snapshot, root, previous_hash, hash, nodes)
    values (3, 1, '2001-01-01', '1:1:', sha256('x'), sha256('x'), sha256('x'), '') $$);
select ok(
  (select s.number - b.last = 6 and s.previous_hash = p.hash and s.sealed_at >= p.sealed_at
     and s.hash <> sha256('x')
   from bulwark_private.audit_seals s join bulwark_private.audit_seals p on p.number = s.number - 1,
   tests.base b
   where s.root = sha256('x')),
  'AUS-20: it extends the chain'
);
-- complete depends on the age of the migrations' entries: a seal over nothing leaves out everything
-- before.
select matches(
  tests.log_verdict(), '^f [ft] group_altered 6$', 'AUS-21: and a seal over nothing is found'
);
alter table bulwark_private.audit_seals disable trigger audit_seals_refuse_change;
delete from bulwark_private.audit_seals s using tests.base b where s.number = b.last + 6;
select is(tests.log_verdict(), 't t', 'AUS-22: (without it the log verifies again)');
alter table bulwark_private.audit_seals enable always trigger audit_seals_refuse_change;
select tests.error_is('AUS-23: a seal is never changed', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ update bulwark_private.audit_seals set root = sha256('y') $$);
select tests.error_is('AUS-24: nor removed', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ delete from bulwark_private.audit_seals $$);
select tests.error_is('AUS-25: nor its organizations', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ delete from bulwark_private.audit_groups $$);
select tests.error_is('AUS-26: sealing refuses a transaction that has written',
  '25000 AUDIT_SEAL_NEEDS_OWN_TRANSACTION', $$ select seal_audit_log() $$);

select * from finish();
rollback;
