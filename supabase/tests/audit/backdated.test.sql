-- Entries that were dated back, or ahead, before they were sealed: the owner of the tables can make
-- them with the triggers off; no writer can with the triggers on.
begin;
set local search_path = bulwark, public, extensions;
select plan(9);
select tests.create_organizations();
select tests.start_log();
-- Seals the entries of the set-up; the log of this file begins after it, three hours ago.
select tests.seal_log(0);
select tests.start_log();
select tests.age_seals(-1000000, 0, '3 hours');

-- Transaction 2 was open for two hours, while seals were made.
select tests.log_entry(1, 'acme', 1, now() - interval '170 minutes');
select tests.seal_log(1);
select tests.age_seals(1, 1, '2 hours');
select tests.log_entry(3, 'acme', 2, now() - interval '100 minutes');
select tests.seal_log(3, '2');
select tests.age_seals(2, 2, '90 minutes');
select tests.log_entry(4, 'acme', 3, now() - interval '80 minutes');
select tests.seal_log(4, '2');
select tests.age_seals(3, 3, '1 hour');

create function pg_temp.verdict(entries text, organization text default null)
  returns text
  language sql
as $$
  select tests.log_verdict_after(entries || '; select tests.seal_log(6)', organization);
$$;
create function pg_temp.entry(at bigint, occurred_at interval, id_at interval default null)
  returns text
  language sql
as $$
  select format(
    'select tests.log_entry(%s, %L, 9, now() + %L, now() + %L)', at, 'acme', occurred_at,
    coalesce(id_at, occurred_at)
  );
$$;
create function pg_temp.named(id_at interval)
  returns text
  language sql
as $$ select 'f t entry_backdated 4 ' || tests.entry_id('acme9', now() + id_at); $$;

select is(
  pg_temp.verdict($$ select tests.log_entry(2, 'acme', n, now() - make_interval(mins => 23 * n))
                     from generate_series(0, 5) as n $$),
  't t', 'AUS-76: a transaction that was open for two hours has entries of all that time'
);
select is(got, want, claim)
from (values
  ('AUS-77: but of no time before it began',
   pg_temp.verdict(pg_temp.entry(2, '-150 minutes')), pg_temp.named('-150 minutes')),
  ('AUS-78: a transaction begun since the last seal has entries of after it',
   pg_temp.verdict(pg_temp.entry(5, '-55 minutes')), 't t'),
  ('AUS-79: by a clock that is a little wrong as well',
   pg_temp.verdict(pg_temp.entry(5, '-63 minutes')), 't t'),
  ('AUS-80: but none that is older than the seal before',
   pg_temp.verdict(pg_temp.entry(5, '-70 minutes')), pg_temp.named('-70 minutes')),
  ('AUS-81: which its organization finds as well',
   pg_temp.verdict(pg_temp.entry(5, '-1 year'), 'acme'), pg_temp.named('-1 year')),
  ('AUS-82: and no other', pg_temp.verdict(pg_temp.entry(5, '-1 year'), 'globex'), 't t'),
  ('AUS-83: nor one that is younger than its seal',
   pg_temp.verdict(pg_temp.entry(5, '1 hour')), pg_temp.named('1 hour')),
  ('AUS-84: nor one whose id tells another time',
   pg_temp.verdict(pg_temp.entry(5, '-50 minutes', '-10 minutes')), pg_temp.named('-10 minutes'))
) as t (claim, got, want);

select * from finish();
rollback;
