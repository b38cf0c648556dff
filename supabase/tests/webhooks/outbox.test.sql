-- The log is the outbox: the sealer makes the deliveries of the entries that it seals, each once.
begin;
set local search_path = bulwark, public, extensions;
select plan(13);
select tests.create_organizations();
select tests.start_log();
select tests.seal_log(0);
select tests.start_log();

-- The numbers of the entries that an endpoint was sent, in order.
create function pg_temp.told(endpoint uuid)
  returns text
  language sql
as $$
  select coalesce(string_agg(e.details ->> 'number', ' ' order by d.sequence), '')
  from bulwark.webhook_deliveries d
  join bulwark.audit_logs e on e.id = d.event_id
  where d.endpoint_id = endpoint and e.resource_type = 'public.tests';
$$;

select tests.log_entry(1, 'acme', 1);
select lives_ok(
  'select tests.seal_log(1)', 'WHK-80: without a subscription an entry is only sealed'
);
select tests.webhook_endpoint(tests.a(), tests.acme(), '{audit.data.read,audit.*}');
select tests.webhook_endpoint(tests.b(), tests.globex(), '{audit.data.read}');
select is(pg_temp.told(tests.a()), '', 'WHK-80: and is not sent to those who subscribe later');

-- Transaction 2 stays open. Entries of 3 and 4 are a seal, in the order of time.
select tests.log_entry(2, 'acme', 2, now() - interval '5 seconds');
select tests.log_entry(4, 'acme', 3, now() - interval '4 seconds');
select tests.log_entry(3, 'acme', 4, now() - interval '3 seconds');
select tests.log_entry(3, 'globex', 5);
select tests.seal_log(4, '2');
select is(got, want, claim)
from (values
  ('WHK-81: an entry is sent when it is sealed, once for all patterns, and none of an open '
    'transaction; a later change after an earlier one', pg_temp.told(tests.a()), '3 4'),
  ('WHK-81: and to its own organization', pg_temp.told(tests.b()), '5')
) as t (claim, got, want);
select tests.seal_log(5);
select is(pg_temp.told(tests.a()), '3 4 2', 'WHK-82: when that ends, its entry is sent');
select tests.seal_log(6);
select is(pg_temp.told(tests.a()), '3 4 2', 'WHK-82: and nothing again');

-- A seal that is rolled back.
select tests.log_entry(7, 'acme', 6);
do $$
begin
  perform tests.seal_log(7);
  raise exception 'undone';
exception when raise_exception then null;
end;
$$;
select is(pg_temp.told(tests.a()), '3 4 2', 'WHK-83: a seal that is rolled back sends nothing');
select tests.seal_log(7);
select is(pg_temp.told(tests.a()), '3 4 2 6', 'WHK-83: the next one makes up for it');

-- A transaction that spans seals, and an endpoint of the installation.
update bulwark.settings set value = '2' where name = 'audit.seal_entries';
select tests.webhook_endpoint(tests.e(), null, '{audit.data.read}', every_organization => true);
select tests.log_entry(8, 'acme', n, now() + make_interval(secs => n))
from generate_series(10, 14) as n;
select tests.seal_log(8) from generate_series(1, 4);
select is(
  pg_temp.told(tests.a()), '3 4 2 6 10 11 12 13 14',
  'WHK-84: a large transaction is sent with each of its seals, once and in order'
);
select is(
  pg_temp.told(tests.e()), '10 11 12 13 14',
  'WHK-84: also to an endpoint of every organization'
);

-- An upgrade from a version whose writers made the deliveries.
select tests.log_entry(9, 'acme', 20, now() + interval '30 seconds');
select tests.log_entry(10, 'acme', 21, now() + interval '31 seconds');
select tests.log_entry(11, 'acme', 22, now() + interval '32 seconds');
select tests.log_entry(11, 'acme', 23, now() + interval '33 seconds');
delete from bulwark.webhook_deliveries where endpoint_id = tests.a();
insert into bulwark_private.webhook_upgrades (timeline, snapshot, xid)
select max(e.timeline), format('%1$s:%2$s:%1$s', b.xid + 9, b.xid + 11)::pg_snapshot,
  (b.xid + 11)::text::xid8
from tests.base b, bulwark.audit_logs e group by b.xid;
select bulwark_private.queue_webhooks(
  array[tests.entry_id('acme22', now() + interval '32 seconds')]
);
select tests.seal_log(11) from generate_series(1, 4);
select is(
  pg_temp.told(tests.a()), '22 20 23',
  'WHK-85: what the writers had made before the upgrade is not made again, what not is made'
);

-- The plan of a delivery must not depend on statistics.
select is(
  (select string_agg(distinct c, ' ') from pg_proc p, unnest(p.proconfig) as c
   where p.oid = 'bulwark_private.queue_webhooks(uuid[])'::regprocedure and c ~ 'seqscan'),
  'enable_seqscan=off', 'WHK-86: the sealer finds entries and subscriptions by their indexes'
);
select is(
  (select count(*) from pg_trigger t
   where t.tgrelid = 'bulwark.audit_logs'::regclass and not t.tgisinternal
     and t.tgname not like 'audit_logs_%'),
  0::bigint, 'WHK-87: who writes the log pays for no trigger of the webhooks'
);

select * from finish();
rollback;
