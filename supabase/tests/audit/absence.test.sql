-- Proves that an organization has no entry in a seal, and finds entries that no seal can hold.
begin;
set local search_path = bulwark, public, extensions;
select plan(29);
select tests.create_organizations();
select tests.start_log();
select tests.seal_log(0);
select tests.log_entry(1, 'acme', n) from generate_series(1, 3) as n;
select tests.log_entry(1, 'globex', 1);
select tests.seal_log(1);
select tests.log_entry(2, 'globex', 2);
select tests.seal_log(2);
select tests.log_entry(3, 'acme', 4), tests.log_entry(3, 'globex', 3);
select tests.seal_log(3);
select tests.log_entry(4, 'acme', 5);
select tests.seal_log(4);
alter table audit_keys disable trigger bulwark_audit_insert;
select is(tests.log_verdict('acme'), 't t', 'AUN-01: (the log verifies for one)');
select is(tests.log_verdict('globex'), 't t', 'AUN-02: (and for the other)');

alter table audit_logs disable trigger audit_logs_refuse_change;
alter table bulwark_private.audit_seals disable trigger audit_seals_refuse_change;
alter table bulwark_private.audit_groups disable trigger audit_groups_refuse_change;
-- Deletes an organization's groups of some seals (relative), with the entries in them.
create function pg_temp.cut(organization text, seals bigint[], entries integer[])
  returns text
  language sql
as $$
  select format(
    'delete from bulwark_private.audit_groups g using tests.base b
     where g.organization_id = %L and g.seal - b.last = any (%L);
     delete from audit_logs where id = any (%L)',
    tests.organization_id(organization), seals,
    (select array_agg(tests.entry_id(organization || n)) from unnest(entries) as n)
  );
$$;
select matches(
  tests.log_verdict_after(pg_temp.cut('acme', '{5}', '{5}'), 'acme'), '^f f group_altered 5',
  'AUN-03: a tenant finds that its newest entry and group were deleted from a seal of its own'
);
select matches(
  tests.log_verdict_after(pg_temp.cut('acme', '{4,5}', '{4,5}'), 'acme'), '^f f group_altered 4',
  'AUN-04: and from the last seals, one of which another organization shares'
);
select matches(
  tests.log_verdict_after(pg_temp.cut('acme', '{2,4,5}', '{1,2,3,4,5}'), 'acme'),
  '^f f group_altered 2', 'AUN-05: and that everything of its was'
);
select matches(
  tests.log_verdict_after(pg_temp.cut('acme', '{4}', '{4}'), 'acme'), '^f f group_altered 4',
  'AUN-06: and in the middle'
);
select matches(
  tests.log_verdict_after(pg_temp.cut('globex', '{4}', '{3}'), 'globex'), '^f f group_altered 4',
  'AUN-07: the other one finds it too'
);
select matches(
  tests.log_verdict_after(pg_temp.cut('globex', '{4}', '{3}')), '^f f group_altered 4',
  'AUN-08: and the whole installation'
);
select matches(
  tests.log_verdict_after($$ update bulwark_private.audit_groups g
    set organization_id = gen_random_uuid() from tests.base b
    where g.seal = b.last + 5;
    delete from audit_logs where id = tests.entry_id('acme5') $$, 'acme'),
  '^f t group_altered 5', 'AUN-09: a group that is passed off as somebody else''s is missed'
);
select matches(
  tests.log_verdict_after($$ update bulwark_private.audit_groups g
    set organization_id = tests.globex(), hash = bulwark_private.audit_group_hash(
      tests.globex(), g.seal, g.entry_count, g.entries_before, g.previous, g.root
    ) from tests.base b
    where g.seal = b.last + 5;
    update audit_logs set organization_id = tests.globex()
    where id = tests.entry_id('acme5') $$, 'acme'),
  '^f f group_altered 5', 'AUN-10: also with its entries and a hash that fits'
);
select matches(
  tests.log_verdict_after($$ update bulwark_private.audit_groups g set seal = g.seal - 2,
    position = 7
    from tests.base b where g.seal = b.last + 5 $$, 'acme'),
  '^f f group_altered 3', 'AUN-11: a group that is moved to another seal is found'
);
select matches(
  tests.log_verdict_after($$ update bulwark_private.audit_groups g
    set position = 1 - g.position + 10
    from tests.base b where g.seal = b.last + 4 $$, 'acme'),
  '^f f group_altered 4', 'AUN-12: and one that changes its place'
);
select matches(
  tests.log_verdict_after($$ update audit_logs
    set organization_id = tests.globex()
    where id = tests.entry_id('acme4') $$, 'acme'),
  '^t f entry_missing 4', 'AUN-13: an entry that is given to another organization is missed'
);
select matches(
  tests.log_verdict_after($$ update audit_logs
    set organization_id = tests.globex()
    where id = tests.entry_id('acme4') $$, 'globex'),
  '^f t entry_inserted 4', 'AUN-14: and found in that one'
);
select matches(
  tests.log_verdict_after($$ update audit_logs set organization_id = null
    where id = tests.entry_id('acme4') $$, 'acme'),
  '^t f entry_missing 4', 'AUN-15: one that is given to nobody is missed'
);
select matches(
  tests.log_verdict_after($$ update audit_logs set organization_id = null
    where id = tests.entry_id('acme4') $$),
  '^f f entry_(missing|inserted) 4', 'AUN-16: and found by the installation'
);
create function pg_temp.last_seal_anew() returns text language sql as $rewrite$
  select $$
    delete from bulwark_private.audit_groups g using tests.base b where g.seal = b.last + 5;
    update bulwark_private.audit_seals s set root = sha256('') from tests.base b
    where s.number = b.last + 5;
    update bulwark_private.audit_seals s set hash = bulwark_private.audit_seal_hash(
      s.number, s.previous_hash, s.root, s.timeline, s.sealed_at, s.snapshot, s.through
    ) from tests.base b where s.number = b.last + 5;
    update bulwark_private.audit_seals s set nodes = bulwark_private.audit_seal_nodes(
      s.number, s.hash
    )
    from tests.base b where s.number = b.last + 5;
    delete from audit_logs where id = tests.entry_id('acme5') $$;
$rewrite$;
select matches(
  tests.log_verdict_after(pg_temp.last_seal_anew(), 'acme'),
  '^t t', 'AUN-17: (a last seal that is made anew agrees with itself)'
);
select tests.sign_log();
select matches(
  tests.log_verdict_after(pg_temp.last_seal_anew(), 'acme'),
  '^f t checkpoint_differs 5', 'AUN-18: but not with what was signed'
);
select matches(
  tests.log_verdict_after($$
    delete from bulwark_private.audit_groups g using tests.base b where g.seal > b.last + 3;
    delete from bulwark_private.audit_seals s using tests.base b where s.number > b.last + 3;
    delete from audit_logs where id in (
      tests.entry_id('acme4'), tests.entry_id('acme5'), tests.entry_id('globex3')
    ) $$, 'acme'),
  '^t f checkpoint_ahead 5', 'AUN-19: whole seals at the end are missed against a checkpoint'
);

-- entries that no seal can hold
select is(
  tests.log_verdict_after($$ select tests.log_entry(5, 'acme', 90, now() + interval '1 day') $$, o),
  't f entry_unsealed ' || tests.entry_id('acme90', now() + interval '1 day'),
  format('AUN-%s: an entry from the future is found by %s', 20 + p, coalesce(o, 'everybody'))
)
from (values (0, 'acme'), (1, null)) as t (p, o);
select is(
  tests.log_verdict_after($$ select tests.log_entry(1000000000, 'acme', 91) $$, o),
  't f entry_unsealed ' || tests.entry_id('acme91'),
  format('AUN-%s: so is one of a transaction that has not begun', 22 + p)
)
from (values (0, 'acme'), (1, null)) as t (p, o);
select matches(
  tests.log_verdict_after(format($$ select tests.log_entry(5, 'acme', 92);
    update audit_logs set %s where id = tests.entry_id('acme92') $$, change), 'acme'),
  expected, 'AUN-' || place || ': so is one whose ' || change
)
from (values
  (24, 'xid = (select b.xid::text::xid8 from tests.base b)', '^f t entry_inserted'),
  (25, 'xid = ''18446744073709551615''',
    '^t f entry_unsealed'),
  (26, 'timeline = 30000', '^f t entry_inserted'), (27, 'timeline = 0', '^f t entry_inserted'),
  (28, 'occurred_at = ''infinity''', '^t f entry_unsealed')
) as t (place, change, expected);
select matches(
  tests.log_verdict_after($$ select tests.log_entry(5, 'acme', 93);
    update audit_logs set occurred_at = 'infinity' where id = tests.entry_id('acme93');
    select tests.seal_log(5) $$, 'acme'),
  '^f t entry_backdated 6', 'AUN-29: and a time that never ends is found when it was sealed'
);

select * from finish();
rollback;
