-- Changes around the triggers, each found and named.
begin;
set local search_path = bulwark, public, extensions;
select plan(16);
select tests.create_organizations();
select tests.start_log();
select tests.fill_log();
-- (without a registered key: its entry would belong to this transaction)
alter table audit_keys disable trigger bulwark_audit_insert;
select tests.sign_log();

-- changes around the triggers, each found and named
alter table audit_logs disable trigger audit_logs_refuse_change;
alter table bulwark_private.audit_seals disable trigger audit_seals_refuse_change;
alter table bulwark_private.audit_groups disable trigger audit_groups_refuse_change;
select is(
  tests.log_verdict_after($$ update audit_logs set details = '{"number": 3000}'
                   where id = tests.entry_id('acme3') $$),
  'f t entry_altered 3 ' || tests.entry_id('acme3'), 'AUS-53: an altered entry is named'
);
select is(
  tests.log_verdict_after($$ update audit_logs set occurred_at = occurred_at - interval '1 year'
                   where id = tests.entry_id('acme3') $$, 'acme'),
  'f t entry_altered 3 ' || tests.entry_id('acme3'), 'AUS-54: so is a back-dated one'
);
select is(
  tests.log_verdict_after($$ delete from audit_logs where id = tests.entry_id('acme2') $$),
  't f entry_missing 3', 'AUS-55: a removed entry is missed'
);
select is(
  tests.log_verdict_after($$ select tests.log_entry(2, 'acme', 99) $$),
  'f t entry_inserted 2 ' || tests.entry_id('acme99'), 'AUS-56: an inserted entry is named'
);
select is(
  tests.log_verdict_after($$ update audit_logs e set details = o.details, salt = o.salt
    from audit_logs o
    where e.id = tests.entry_id('acme1') and o.id = tests.entry_id('acme2') $$, 'acme'),
  'f t entry_altered 3 ' || tests.entry_id('acme1'), 'AUS-57: a swapped payload is found'
);
select is(
  tests.log_verdict_after($$
    update audit_logs set id = tests.entry_id('aside') where id = tests.entry_id('acme1');
    update audit_logs set id = tests.entry_id('acme1') where id = tests.entry_id('acme2');
    update audit_logs set id = tests.entry_id('acme2') where id = tests.entry_id('aside') $$),
  'f t entry_altered 3 ' || least(tests.entry_id('acme1'), tests.entry_id('acme2')),
  'AUS-58: two entries that were swapped are found'
);
select is(
  tests.log_verdict_after($$ update audit_logs e
    set commitment = c.payload_commitment, removed_by = tests.entry_id('acme1'), salt = null,
        details = null, action = null, actor_type = null, database_user = null
    from bulwark_private.audit_commitments c where e.id = tests.entry_id('acme2')
      and c.id = e.id $$),
  't f removal_without_record ' || tests.entry_id('acme2'),
  'AUS-59: a payload stripped without a record is found and is no retention'
);
select matches(
  tests.log_verdict_after(
    $$ update audit_logs set timeline = -1 where id = tests.entry_id('acme2') $$
  ),
  'f f entry_(missing|inserted)', 'AUS-68: an entry of a timeline that never was is found'
);
select is(
  tests.log_verdict_after($$ delete from bulwark_private.audit_seals s using tests.base b
    where s.number = b.last + 3 $$),
  't f seal_missing 4', 'AUS-60: a dropped seal is missed'
);
select is(
  tests.log_verdict_after($$ update bulwark_private.audit_seals s set root = sha256('x')
    from tests.base b
    where s.number = b.last + 3 $$),
  'f t seal_altered 3', 'AUS-61: an altered seal is named'
);
select is(
  tests.log_verdict_after($$ update bulwark_private.audit_groups g
    set leaves = overlay(leaves placing sha256('x') from 1)
    from tests.base b where g.seal = b.last + 4 $$),
  'f t group_altered 4', 'AUS-62: and so are altered leaves'
);
select is(
  tests.log_verdict_after($$
    delete from bulwark_private.audit_groups g using tests.base b where g.seal = b.last + 5;
    delete from bulwark_private.audit_seals s using tests.base b where s.number = b.last + 5;
    delete from audit_logs where id = tests.entry_id('globex4') $$),
  't f checkpoint_ahead 5', 'AUS-63: a tail cut off behind a checkpoint is missed'
);
select is(
  tests.log_verdict_after($$ alter table audit_checkpoints disable trigger audit_checkpoints_keep;
                   update audit_checkpoints set root_hash = sha256('x') $$),
  'f t checkpoint_differs 5', 'AUS-64: a checkpoint over another tree is found'
);
select is(
  tests.log_verdict_after($$ select tests.log_entry(90, 'acme', 98);
                   update audit_logs set occurred_at = now() - interval '1 hour'
                   where id = tests.entry_id('acme98') $$),
  't f entry_unsealed ' || tests.entry_id('acme98'), 'AUS-65: an entry that nobody seals is found'
);
select is(
  tests.log_verdict_after($$ update audit_logs set details = '{}'
    where id = tests.entry_id('globex1') $$, 'acme'),
  't t', 'AUS-66: what happens to another organization is not told'
);
select is(tests.log_verdict(), 't t', 'AUS-67: put back, the log verifies');

select * from finish();
rollback;
