-- Seals, verification, proofs and checkpoints. Sealing for real takes transactions of its own
-- (tests/audit.test.ts); here entries are given transaction ids ahead of the real ones.
begin;
select plan(68);
select tests.create_organizations();
create temporary table base as
  select pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000 as xid,
    (select coalesce(max(number), 0) from private.audit_seals) as last;
grant select on base to public;

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
  encode(private.merkle_root(''), 'hex'),
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'AUS-01: the empty tree is that of RFC 6962'
);
select results_eq(
  $$ select encode(private.merkle_root((
       select string_agg(sha256('\x00'::bytea || i.leaf), '' order by i.n)
       from leaves i where i.n <= l.n)), 'hex') from leaves l order by l.n $$,
  $$ select root from leaves order by n $$,
  'AUS-02: and so are the trees of one to eight leaves'
);
create function pg_temp.follow(leaf bytea, index bigint, size bigint, path bytea[])
  returns bytea
  language plpgsql
as $$
declare
  v_hash bytea := leaf;
  v_index bigint := index;
  v_last bigint := size - 1;
  v_sibling bytea;
begin
  -- RFC 9162 2.1.3.2, written from the other end than the code under test.
  foreach v_sibling in array path loop
    if v_index % 2 = 1 or v_index = v_last then
      v_hash := sha256('\x01'::bytea || v_sibling || v_hash);
      while v_index % 2 = 0 and v_index > 0 loop
        v_index := v_index / 2;
        v_last := v_last / 2;
      end loop;
    else
      v_hash := sha256('\x01'::bytea || v_hash || v_sibling);
    end if;
    v_index := v_index / 2;
    v_last := v_last / 2;
  end loop;
  return case when v_last = 0 then v_hash end;
end;
$$;
select is_empty(
  $$ with tree as (
       select size, string_agg(sha256('\x00'::bytea || int4send(i)), '' order by i) as leaves
       from generate_series(1, 70) as size, generate_series(1, size) as i group by size)
     select size, i from tree, generate_series(0, size - 1) as i
     where pg_temp.follow(
       substring(leaves from i * 32 + 1 for 32), i, size, private.merkle_path(leaves, i)
     ) is distinct from private.merkle_root(leaves) $$,
  'AUS-03: every path of trees of up to 70 leaves leads to the root'
);

-- keys of checkpoints
select is(
  tests.error($$ select register_audit_key('bulwark.test/log', 'xyz', 'short') $$),
  '22023 AUDIT_INVALID_KEY', 'AUS-04: a key has its form'
);
select lives_ok(
  $$ select register_audit_key('bulwark.test/log', '0a0b0c0d', encode(sha256('key'), 'base64')),
       register_audit_key('bulwark.test/log', '0a0b0c0d', encode(sha256('key'), 'base64')) $$,
  'AUS-05: a key is registered, also twice'
);
select is(
  tests.error($$ select register_audit_key('other', '0a0b0c0d', encode(sha256('x'), 'base64')) $$),
  '23505 AUDIT_KEY_EXISTS', 'AUS-06: but its id names one key only'
);

-- entries of two organizations in five transactions
alter table audit_logs disable trigger audit_logs_stamp;
create function pg_temp.entry(at bigint, organization text, number integer)
  returns uuid
  language sql
as $$
  insert into public.audit_logs (
    id, xid, occurred_at, era, salt, source, severity, event_type, organization_id, actor_type,
    database_user, resource_type, action, details
  )
  select md5(organization || number)::uuid, (b.xid + at)::text::xid8, now(),
    (select max(era) from private.audit_eras), md5('salt' || number)::uuid, 'service', 'info',
    'data.read', tests.organization_id(organization), 'service', 'postgres', 'public.tests', 'read',
    jsonb_build_object('number', number)
  from base b
  returning id;
$$;
create function pg_temp.seal(through bigint, open text default '')
  returns integer
  language sql
as $$
  select (private.write_audit_seal(format(
    '%s:%s:%s', coalesce(min(o::bigint), b.xid + through + 1), b.xid + through + 1,
    string_agg(o, ',')
  )::pg_snapshot) - b.last)::integer
  from base b
  left join lateral (
    select (b.xid + x::bigint)::text as o from unnest(string_to_array(nullif(open, ''), ',')) as x
  ) opened on true
  group by b.xid, b.last;
$$;
create function pg_temp.found()
  returns text
  language sql
as $$
  select concat_ws(' ', v.intact, v.complete, v.problem, v.seal - b.last) from verify_audit_log(
    after_seal => (select last from base)) v, base b;
$$;
create function pg_temp.found_in(organization text)
  returns text
  language sql
as $$
  select concat_ws(' ', v.intact, v.complete, v.problem, v.seal - b.last) from verify_audit_log(
    tests.organization_id(organization), after_seal => (select last from base)) v, base b;
$$;
-- What this file's own set-up wrote is of this transaction and is sealed first.
select is(pg_temp.seal(0), 1, 'AUS-07: the first seal takes what was there');
select pg_temp.entry(1, 'acme', n) from generate_series(1, 3) as n;
select pg_temp.entry(2, 'globex', n) from generate_series(1, 2) as n;
select is(pg_temp.seal(2, '1'), 2, 'AUS-08: a seal takes what its snapshot saw finished');
select is(
  (select sum(entry_count)::int from private.audit_groups, base b where seal = b.last + 2), 2,
  'AUS-09: and not what a transaction still open then wrote'
);
select pg_temp.entry(3, 'acme', 4);
select is(pg_temp.seal(3), 3, 'AUS-10: the transaction that was open is in the seal after it ended');
select results_eq(
  $$ select entry_count::int from private.audit_groups, base b where seal = b.last + 3 $$,
  $$ values (4) $$, 'AUS-11: with the newer entries'
);
select is(pg_temp.seal(3), null, 'AUS-12: nothing new makes no seal');
select is(pg_temp.seal(2), null, 'AUS-13: an older picture makes none either');
select pg_temp.entry(4, 'acme', 5), pg_temp.entry(4, 'globex', 3);
select is(pg_temp.seal(4), 4, 'AUS-14: two organizations share a seal');
select pg_temp.entry(5, 'globex', 4);
select is(pg_temp.seal(5), 5, 'AUS-15: and the chain goes on');
select results_eq(
  $$ select s.number - b.last, s.previous_hash = p.hash from private.audit_seals s
     join private.audit_seals p on p.number = s.number - 1, base b
     where s.number > b.last + 1 order by 1 $$,
  $$ values (2::bigint, true), (3, true), (4, true), (5, true) $$,
  'AUS-16: seals are chained'
);
select is(pg_temp.found(), 't t', 'AUS-17: the log verifies');
select is(pg_temp.found_in('acme'), 't t', 'AUS-18: and so does one organization''s');

-- the chain cannot be entered sideways
select is(
  tests.error($$ insert into private.audit_seals
    (number, era, sealed_at, snapshot, root, previous_hash, hash, nodes)
    values (3, 1, '2001-01-01', '1:1:', sha256('x'), sha256('x'), sha256('x'), '') $$),
  'no error', 'AUS-19: whatever an insert into the seals says'
);
select ok(
  (select s.number - b.last = 6 and s.previous_hash = p.hash and s.sealed_at >= p.sealed_at
     and s.hash <> sha256('x')
   from private.audit_seals s join private.audit_seals p on p.number = s.number - 1, base b
   where s.root = sha256('x')),
  'AUS-20: it extends the chain'
);
select is(pg_temp.found(), 'f t group_altered 6', 'AUS-21: and a seal over nothing is found');
alter table private.audit_seals disable trigger audit_seals_refuse_change;
delete from private.audit_seals s using base b where s.number = b.last + 6;
select is(pg_temp.found(), 't t', 'AUS-22: (without it the log verifies again)');
alter table private.audit_seals enable always trigger audit_seals_refuse_change;
select is(
  tests.error($$ update private.audit_seals set root = sha256('y') $$),
  '42501 AUDIT_LOG_IS_APPEND_ONLY', 'AUS-23: a seal is never changed'
);
select is(
  tests.error($$ delete from private.audit_seals $$), '42501 AUDIT_LOG_IS_APPEND_ONLY',
  'AUS-24: nor removed'
);
select is(
  tests.error($$ delete from private.audit_groups $$), '42501 AUDIT_LOG_IS_APPEND_ONLY',
  'AUS-25: nor its organizations'
);
select is(
  tests.error($$ select seal_audit_log() $$), '25000 AUDIT_SEAL_NEEDS_OWN_TRANSACTION',
  'AUS-26: sealing refuses a transaction that has written'
);

-- proofs
create temporary table proof as
  select audit_inclusion_proof(md5('acme5')::uuid) as p;
select ok(
  (select pg_temp.follow(
       (select leaf from private.audit_leaves where id = md5('acme5')::uuid),
       (p ->> 'entry_index')::bigint, (p #>> '{group,entry_count}')::bigint,
       array(select decode(h, 'base64') from jsonb_array_elements_text(p -> 'entry_path') as h)
     ) = decode(p #>> '{group,root}', 'base64')
   from proof),
  'AUS-27: an inclusion proof leads from the entry to its organization''s root'
);
select ok(
  (select pg_temp.follow(
       private.audit_group_hash(
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
  (select pg_temp.follow(
       sha256('\x00'::bytea || decode(p #>> '{seal,hash}', 'base64')),
       (p ->> 'tree_index')::bigint, (p ->> 'tree_size')::bigint,
       array(select decode(h, 'base64') from jsonb_array_elements_text(p -> 'tree_path') as h)
     ) = decode(p ->> 'tree_root', 'base64')
   from proof),
  'AUS-29: and from there to the tree of all seals'
);
select is_empty(
  $$ select from proof where p::text ~ tests.organization_id('globex')::text
       or p::text ~ 'globex' $$,
  'AUS-30: of the organization that shares the seal it says nothing'
);
select tests.act_as('admin@acme.test');
select is(
  tests.error($$ select audit_inclusion_proof(md5('acme1')::uuid) $$), 'no error',
  'AUS-31: a reader of the organization gets proofs'
);
select is(
  tests.error($$ select audit_inclusion_proof(md5('globex1')::uuid) $$),
  'PT404 AUDIT_UNKNOWN_ENTRY', 'AUS-32: of a foreign entry none'
);
select is(
  tests.error($$ select audit_inclusion_proof(gen_random_uuid()) $$),
  'PT404 AUDIT_UNKNOWN_ENTRY', 'AUS-33: and the same answer as of none'
);
select is(
  tests.error($$ select * from verify_audit_log(tests.organization_id('globex')) $$),
  '42501 RBAC_PERMISSION_DENIED', 'AUS-34: nobody verifies a foreign log'
);
select is(
  tests.error($$ select * from verify_audit_log() $$), '42501 RBAC_PERMISSION_DENIED',
  'AUS-35: nor the whole installation''s without being super_admin'
);
select is(pg_temp.found_in('acme'), 't t', 'AUS-36: but one''s own');
select tests.act_as('super@bulwark.test');
select is(
  tests.error($$ select * from verify_audit_log() $$), 'no error',
  'AUS-37: a super_admin verifies everything'
);
select tests.act_as_owner();
select is(
  tests.error($$ select * from verify_audit_log("from" => now(), "to" => now() - interval '1 s') $$),
  '22023 AUDIT_INVALID_RANGE', 'AUS-38: a range that ends before it begins is an error'
);
select is(
  tests.error($$ select * from verify_audit_log("to" => 'infinity') $$),
  '22023 AUDIT_INVALID_RANGE', 'AUS-39: and so is one without end'
);
select is(
  tests.error($$ select * from verify_audit_log(max_entries => 0) $$),
  '22023 AUDIT_INVALID_LIMIT', 'AUS-40: and a limit of nothing'
);
select is(
  (select next_after_seal - b.last from base b, verify_audit_log(
    after_seal => b.last + 1, max_entries => 1)),
  2::bigint, 'AUS-41: a run that stops early says where to go on'
);
select is_empty(
  $$ select from generate_series(0, 12) as m, generate_series(m, 12) as n
     where n <= (select max(number) from private.audit_seals)
       and tests.error(format('select audit_consistency_proof(%s, %s)', m, n)) <> 'no error' $$,
  'AUS-42: there are consistency proofs between any two sizes'
);
select is(
  tests.error($$ select audit_consistency_proof(1, 1000000000) $$), '22023 AUDIT_INVALID_RANGE',
  'AUS-43: but none with a size that is not reached'
);

-- checkpoints
create function pg_temp.note(size bigint, root text)
  returns text
  language sql
as $$ select format(E'bulwark.test/log\n%s\n%s\n\n\u2014 bulwark.test/log AAAA\n', size, root); $$;
select ok(
  (select store_audit_checkpoint(tree_size, root_hash, '0a0b0c0d', pg_temp.note(tree_size, root_hash))
   from audit_tree_head()),
  'AUS-44: a checkpoint of the head is stored'
);
select is(
  (select store_audit_checkpoint(tree_size, root_hash, '0a0b0c0d', pg_temp.note(tree_size, root_hash))
   from audit_tree_head()),
  false, 'AUS-45: once'
);
select is(
  tests.error($$ select store_audit_checkpoint(tree_size, root_hash, '0a0b0c0d',
                   pg_temp.note(tree_size + 1, root_hash)) from audit_tree_head() $$),
  '22023 AUDIT_CHECKPOINT_MISMATCH', 'AUS-46: a note about another size is refused'
);
select is(
  tests.error($$ select store_audit_checkpoint(tree_size, encode(sha256('x'), 'base64'), '0a0b0c0d',
                   pg_temp.note(tree_size, encode(sha256('x'), 'base64'))) from audit_tree_head() $$),
  '22023 AUDIT_CHECKPOINT_MISMATCH', 'AUS-47: and one over another tree'
);
select is(
  tests.error($$ select store_audit_checkpoint(1, 'x', 'ffffffff', 'x') $$),
  'PT404 AUDIT_UNKNOWN_KEY', 'AUS-48: and one by an unknown key'
);
select is(
  (select audit_inclusion_proof(md5('acme1')::uuid) ->> 'checkpoint'),
  (select note from audit_checkpoints order by tree_size desc limit 1),
  'AUS-49: proofs lead to the newest checkpoint'
);
select is(
  tests.error($$ update audit_checkpoints set note = '' $$), '42501 AUDIT_LOG_IS_APPEND_ONLY',
  'AUS-50: a checkpoint is never changed'
);
select lives_ok(
  $$ select record_audit_delivery(tree_size, 'https://sink.test') from audit_tree_head() $$,
  'AUS-51: but its delivery is noted'
);
select is(
  tests.error($$ select record_audit_delivery(1000000000, 'x') $$), 'PT404 AUDIT_UNKNOWN_CHECKPOINT',
  'AUS-52: of one that exists'
);

-- tampering around the triggers, each found and named
alter table audit_logs disable trigger audit_logs_refuse_change;
alter table private.audit_seals disable trigger audit_seals_refuse_change;
alter table private.audit_groups disable trigger audit_groups_refuse_change;
create function pg_temp.after(statement text, organization text default null)
  returns text
  language plpgsql
as $$
declare
  v_found text;
begin
  begin
    execute statement;
    select concat_ws(' ', v.intact, v.complete, v.problem, v.seal - b.last, v.entry) into v_found
    from base b, verify_audit_log(tests.organization_id(organization), after_seal => b.last) v;
    raise exception sqlstate 'TT000';
  exception when sqlstate 'TT000' then
    return v_found;
  end;
end;
$$;
select is(
  pg_temp.after($$ update audit_logs set details = '{"number": 3000}'
                   where id = md5('acme3')::uuid $$),
  'f t entry_altered 3 ' || md5('acme3')::uuid, 'AUS-53: an altered entry is named'
);
select is(
  pg_temp.after($$ update audit_logs set occurred_at = occurred_at - interval '1 year'
                   where id = md5('acme3')::uuid $$, 'acme'),
  'f t entry_altered 3 ' || md5('acme3')::uuid, 'AUS-54: so is a back-dated one'
);
select is(
  pg_temp.after($$ delete from audit_logs where id = md5('acme2')::uuid $$),
  't f entry_missing 3', 'AUS-55: a removed entry is missed'
);
select is(
  pg_temp.after($$ select pg_temp.entry(2, 'acme', 99) $$),
  'f t entry_inserted 2 ' || md5('acme99')::uuid, 'AUS-56: an inserted entry is named'
);
select is(
  pg_temp.after($$ update audit_logs e set details = o.details, salt = o.salt from audit_logs o
                   where e.id = md5('acme1')::uuid and o.id = md5('acme2')::uuid $$, 'acme'),
  'f t entry_altered 3 ' || md5('acme1')::uuid, 'AUS-57: a swapped payload is found'
);
select is(
  pg_temp.after($$ update audit_logs set id = md5('aside')::uuid where id = md5('acme1')::uuid;
                   update audit_logs set id = md5('acme1')::uuid where id = md5('acme2')::uuid;
                   update audit_logs set id = md5('acme2')::uuid where id = md5('aside')::uuid $$),
  'f t entry_altered 3 ' || least(md5('acme1'), md5('acme2'))::uuid,
  'AUS-58: two entries that were swapped are found'
);
select is(
  pg_temp.after($$ update audit_logs e
    set commitment = c.payload_commitment, removed_by = md5('acme1')::uuid, salt = null,
        details = null, action = null, actor_type = null, database_user = null
    from private.audit_commitments c where e.id = md5('acme2')::uuid and c.id = e.id $$),
  't f removal_without_record ' || md5('acme2')::uuid,
  'AUS-59: a payload stripped without a record is found and is no retention'
);
select matches(
  pg_temp.after($$ update audit_logs set era = -1 where id = md5('acme2')::uuid $$),
  'f f entry_(missing|inserted)', 'AUS-68: an entry of an era that never was is found'
);
select is(
  pg_temp.after($$ delete from private.audit_seals s using base b where s.number = b.last + 3 $$),
  't f seal_missing 4', 'AUS-60: a dropped seal is missed'
);
select is(
  pg_temp.after($$ update private.audit_seals s set root = sha256('x') from base b
                   where s.number = b.last + 3 $$),
  'f t seal_altered 3', 'AUS-61: an altered seal is named'
);
select is(
  pg_temp.after($$ update private.audit_groups g set leaves = overlay(leaves placing sha256('x') from 1)
                   from base b where g.seal = b.last + 4 $$),
  'f t group_altered 4', 'AUS-62: and so are altered leaves'
);
select is(
  pg_temp.after($$ delete from private.audit_groups g using base b where g.seal = b.last + 5;
                   delete from private.audit_seals s using base b where s.number = b.last + 5;
                   delete from audit_logs where id = md5('globex4')::uuid $$),
  't f checkpoint_ahead 5', 'AUS-63: a tail cut off behind a checkpoint is missed'
);
select is(
  pg_temp.after($$ alter table audit_checkpoints disable trigger audit_checkpoints_keep;
                   update audit_checkpoints set root_hash = sha256('x') $$),
  'f t checkpoint_differs 5', 'AUS-64: a checkpoint over another tree is found'
);
select is(
  pg_temp.after($$ select pg_temp.entry(90, 'acme', 98);
                   update audit_logs set occurred_at = now() - interval '1 hour'
                   where id = md5('acme98')::uuid $$),
  't f entry_unsealed ' || md5('acme98')::uuid, 'AUS-65: an entry that nobody seals is found'
);
select is(
  pg_temp.after($$ update audit_logs set details = '{}' where id = md5('globex1')::uuid $$, 'acme'),
  't t', 'AUS-66: what happens to another organization is not told'
);
select is(pg_temp.found(), 't t', 'AUS-67: put back, the log verifies');

select * from finish();
rollback;
