-- Proofs, verification and its permissions, and the checkpoints that proofs lead to.
begin;
set local search_path = bulwark, public, extensions;
select plan(45);
select tests.create_organizations();
select tests.start_log();
select tests.fill_log();

-- proofs
create temporary table proof as
  select audit_inclusion_proof(tests.entry_id('acme5')) as p;
select ok(
  (select tests.follow_path(
       (select leaf from bulwark_private.audit_leaves where id = tests.entry_id('acme5')),
       (p ->> 'entry_index')::bigint, (p #>> '{group,entry_count}')::bigint,
       array(select decode(h, 'base64') from jsonb_array_elements_text(p -> 'entry_path') as h)
     ) = decode(p #>> '{group,root}', 'base64')
   from proof),
  'AUS-27: an inclusion proof leads from the entry to its organization''s root'
);
select ok(
  (select tests.follow_path(
       bulwark_private.audit_group_hash(
         (p #>> '{group,organization_id}')::uuid, (p #>> '{group,seal}')::bigint,
         (p #>> '{group,entry_count}')::bigint, (p #>> '{group,entries_before}')::bigint,
         decode(p #>> '{group,previous}', 'base64'), decode(p #>> '{group,root}', 'base64')),
       (p ->> 'group_index')::bigint, (p ->> 'group_count')::bigint,
       array(select decode(h, 'base64') from jsonb_array_elements_text(p -> 'group_path') as h)
     ) = decode(p #>> '{seal,root}', 'base64')
   from proof),
  'AUS-28: from there to the seal'
);
select ok(
  (select tests.follow_path(
       sha256('\x00'::bytea || decode(p #>> '{seal,hash}', 'base64')),
       (p ->> 'tree_index')::bigint, (p ->> 'tree_size')::bigint,
       array(select decode(h, 'base64') from jsonb_array_elements_text(p -> 'tree_path') as h)
     ) = decode(p ->> 'tree_root', 'base64')
   from proof),
  'AUS-29: and from there to the tree of all seals'
);
select is_empty(
  $$ select from proof where p::text ~ tests.globex()::text
       or p::text ~ 'globex' $$,
  'AUS-30: of the organization that shares the seal it says nothing'
);
select tests.act_as('admin@acme.test');
select tests.error_is('AUS-31: a reader of the organization gets proofs', 'no error',
  $$ select audit_inclusion_proof(tests.entry_id('acme1')) $$);
select tests.error_is('AUS-32: of a foreign entry none', 'PT404 AUDIT_UNKNOWN_ENTRY',
  $$ select audit_inclusion_proof(tests.entry_id('globex1')) $$);
select tests.error_is('AUS-33: and the same answer as of none', 'PT404 AUDIT_UNKNOWN_ENTRY',
  $$ select audit_inclusion_proof(gen_random_uuid()) $$);
select tests.error_is('AUS-34: nobody verifies a foreign log', '42501 RBAC_PERMISSION_DENIED',
  $$ select * from verify_audit_log(tests.globex()) $$);
select tests.error_is('AUS-35: nor the whole installation''s without being super_admin',
  '42501 RBAC_PERMISSION_DENIED', $$ select * from verify_audit_log() $$);
select is(tests.log_verdict('acme'), 't t', 'AUS-36: but one''s own');
select tests.act_as('super@bulwark.test');
select tests.error_is('AUS-37: a super_admin verifies everything', 'no error',
  $$ select * from verify_audit_log() $$);
select tests.act_as_owner();
select tests.error_is('AUS-38: a range that ends before it begins is an error',
  '22023 AUDIT_INVALID_RANGE',
  $$ select * from verify_audit_log(since => now(), until => now() - interval '1 s') $$);
select tests.error_is('AUS-39: and so is one without end', '22023 AUDIT_INVALID_RANGE',
  $$ select * from verify_audit_log(until => 'infinity') $$);
select tests.error_is('AUS-40: and a limit of nothing', '22023 AUDIT_INVALID_LIMIT',
  $$ select * from verify_audit_log(max_entries => 0) $$);
select is(
  (select next_after_seal - b.last from tests.base b, verify_audit_log(
    after_seal => b.last + 1, max_entries => 1)),
  2::bigint, 'AUS-41: a run that stops early says where to go on'
);
select is_empty(
  $$ select from generate_series(1, 12) as m, generate_series(m, 12) as n
     where n <= (select max(number) from bulwark_private.audit_seals)
       and tests.error(format('select audit_consistency_proof(%s, %s)', m, n)) <> 'no error' $$,
  'AUS-42: there are consistency proofs between any two sizes'
);
select tests.error_is('AUS-43: but none with a size that is not reached',
  '22023 AUDIT_INVALID_RANGE', $$ select audit_consistency_proof(1, 1000000000) $$);
select tests.error_is('AUS-43: nor from the empty log, which every log continues',
  '22023 AUDIT_INVALID_RANGE', $$ select audit_consistency_proof(0, 1) $$);
select tests.error_is('AUS-43: nor from a larger log to a smaller one', '22023 AUDIT_INVALID_RANGE',
  $$ select audit_consistency_proof(2, 1) $$);
select tests.error_is('AUS-43: nor from no size', '22023 AUDIT_INVALID_RANGE',
  $$ select audit_consistency_proof(null, 1) $$);

-- parts of a seal, as the administrator of acme
create temporary table tree on commit drop as
  select string_agg(sha256(int4send(n)), '' order by n) as leaves from generate_series(1, 11) n;
create function pg_temp.subtree(first integer, last integer)
  returns bytea
  language sql
as $$
  select bulwark_private.merkle_root(substring(leaves from first * 32 + 1 for (last - first) * 32))
  from tree
$$;
select is(
  (select array[
     bulwark_private.merkle_nodes(
       leaves, 0, 11
     )::text, bulwark_private.merkle_nodes(leaves, 3, 9)::text,
     bulwark_private.merkle_nodes(
       leaves, 9, 11
     )::text, bulwark_private.merkle_nodes(leaves, 4, 4)::text
   ] from tree),
  array[
    array[pg_temp.subtree(0, 8), pg_temp.subtree(8, 10), pg_temp.subtree(10, 11)]::text,
    array[pg_temp.subtree(3, 4), pg_temp.subtree(4, 8), pg_temp.subtree(8, 9)]::text,
    array[pg_temp.subtree(9, 10), pg_temp.subtree(10, 11)]::text,
    '{}'
  ],
  'AUS-85: a part of a tree is covered by its fewest full subtrees'
);
create temporary table largest on commit drop as
  select g.seal, g.entry_count from bulwark_private.audit_groups g
  where g.organization_id = tests.acme()
  order by g.entry_count desc limit 1;
grant select on largest to public;
select tests.act_as('admin@acme.test');
select is(
  (select jsonb_array_length(
     audit_group_nodes(seal, 0, entry_count, tests.acme())) > 0 from largest),
  true, 'AUS-86: who may export gets the nodes of a part of a seal'
);
select is(
  (select tests.error(format('select audit_group_nodes(%s, 0, %s, %L)', seal, entry_count + 1,
     tests.acme())) from largest),
  '22023 AUDIT_INVALID_RANGE', 'AUS-87: but none beyond its end'
);
select is(
  (select tests.error(format('select audit_group_nodes(%s, 1, 0, %L)', seal,
     tests.acme())) from largest),
  '22023 AUDIT_INVALID_RANGE', 'AUS-88: nor of a part that ends before it begins'
);
select tests.error_is('AUS-89: nor of a seal that there is not', '22023 AUDIT_INVALID_RANGE',
  format('select audit_group_nodes(1000000, 0, 0, %L)', tests.acme()));
select is(
  (select tests.error(format('select audit_group_nodes(%s, 0, 1, %L)', seal,
     tests.globex())) from largest),
  '42501 RBAC_PERMISSION_DENIED', 'AUS-90: nor of a foreign log'
);
select tests.act_as_owner();

-- checkpoints: permissions to store them
create function pg_temp.store(signers jsonb, variadic names text[])
  returns boolean
  language sql
as $$
  select store_audit_checkpoint(
    tree_size, root_hash, tests.log_note(tree_size, root_hash, variadic names), signers
  )
  from audit_tree_head();
$$;
select is(
  bulwark_private.audit_key_id(
    'PeterNeumann',
    substring(decode('ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW', 'base64') from 2)
  ),
  'c74f20a3', 'AUS-69: a key''s id is computed as C2SP has it'
);
select tests.error_is('AUS-04: a checkpoint has signers', '22023 AUDIT_INVALID_KEY',
  $$ select pg_temp.store('[]', 'one') $$);
select tests.error_is('AUS-05: who show their secret', '22023 AUDIT_INVALID_KEY',
  $$ select pg_temp.store(jsonb_build_array(tests.log_signer('one') - 'writer'), 'one') $$);
select ok(
  pg_temp.store(jsonb_build_array(tests.log_signer('one')), 'one'),
  'AUS-44: a checkpoint of the head is stored, and its key with it'
);
select is(
  pg_temp.store(jsonb_build_array(tests.log_signer('one')), 'one'), false, 'AUS-45: once'
);
select is(
  (select key_id from audit_keys),
  bulwark_private.audit_key_id(
    'bulwark.test/log', sha256('one')
  ), 'AUS-06: under the id that is its own'
);
select tests.error_is('AUS-70: without the key''s secret nobody stores under it',
  '42501 AUDIT_NOT_THE_KEY_HOLDER',
  $$ select pg_temp.store(jsonb_build_array(tests.log_signer('one', 'guessed')), 'one') $$);
select tests.error_is('AUS-48: nor under a key of his own', '42501 AUDIT_KEY_NOT_ENDORSED',
  $$ select pg_temp.store(jsonb_build_array(tests.log_signer('evil')), 'evil') $$);
select tests.error_is('AUS-71: nor beside a known one that is not his',
  '42501 AUDIT_KEY_NOT_ENDORSED',
  $$ select pg_temp.store(jsonb_build_array(tests.log_signer('evil'), tests.log_signer('one',
    'guessed')), 'evil', 'one') $$);
select tests.log_entry(6, 'acme', 6);
select tests.seal_log(6);
select ok(
  pg_temp.store(
    jsonb_build_array(tests.log_signer('two'), tests.log_signer('one')), 'two', 'one'
  ),
  'AUS-72: a new key comes in together with the former one'
);
select tests.log_entry(7, 'acme', 7);
select tests.seal_log(7);
select bulwark.accept_audit_key(bulwark_private.audit_key_id('bulwark.test/log', sha256('three')));
select ok(
  pg_temp.store(jsonb_build_array(tests.log_signer('three')), 'three'),
  'AUS-73: or where the owner accepts it'
);
select ok(
  exists (select from audit_logs where resource_type = 'bulwark_private.audit_key_acceptances'),
  'AUS-74: which is an entry'
);
select tests.log_entry(8, 'acme', 8);
select tests.seal_log(8);
create function pg_temp.store_note(change text)
  returns text
  language plpgsql
as $$
declare
  v_head record;
  v_note text;
begin
  select * into v_head from audit_tree_head();
  execute 'select ' || change
  into v_note
  using tests.log_note(v_head.tree_size, v_head.root_hash, 'one'), v_head.tree_size,
    v_head.root_hash;
  return tests.error(format(
    'select store_audit_checkpoint(%L, %L, %L, %L)', v_head.tree_size, v_head.root_hash, v_note,
    jsonb_build_array(tests.log_signer('one'))
  ));
end;
$$;
select is_empty(
  $$ select c from unnest(array[
       'tests.log_note($2 + 1, $3, ''one'')',
       'tests.log_note($2, encode(sha256(''x''), ''base64''), ''one'')',
       'tests.log_note($2, $3, ''two'')',
       'tests.log_note($2, $3, ''one'', ''two'')',
       'replace($1, ''bulwark.test'', ''other.test'')',
       'replace($1, E''\u2014'', ''-'')',
       'substring($1 for length($1) - 20)',
       'left($1, -1)',
       '$1 || E''\n''',
       '$1 || E''more\n''',
       '$1 || E''\nmore\n''',
       'split_part($1, E''\n\n'', 1) || E''\n\n\u2014 bulwark.test/log AAAA\n''',
       'null'
     ]) as c where pg_temp.store_note(c) <> '22023 AUDIT_CHECKPOINT_MISMATCH' $$,
  'AUS-46: a note of another size, root, key, origin or form is refused'
);
select is(pg_temp.store_note('$1'), 'no error', 'AUS-47: (and only such)');
select tests.act_as('admin@acme.test');
select tests.error_is('AUS-75: what a secret hashes to is nobody''s to read', '42501',
  $$ select writer_hash from audit_keys $$);
select tests.act_as_owner();
select is(
  (select audit_inclusion_proof(tests.entry_id('acme1')) ->> 'checkpoint'),
  (select note from audit_checkpoints order by tree_size desc limit 1),
  'AUS-49: proofs lead to the newest checkpoint'
);
select tests.error_is('AUS-50: a checkpoint is never changed', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ update audit_checkpoints set note = '' $$);
select tests.error_is('AUS-51: but its delivery is noted', 'no error',
  $$ select record_audit_delivery(tree_size, 'https://sink.test') from audit_tree_head() $$);
select tests.error_is('AUS-52: of one that exists', 'PT404 AUDIT_UNKNOWN_CHECKPOINT',
  $$ select record_audit_delivery(1000000000, 'x') $$);

select * from finish();
rollback;
