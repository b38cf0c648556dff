-- Continued exports: which page belongs to an export that was charged, and which starts another.
begin;
set local search_path = bulwark, public, extensions;
select plan(19);
create temporary table export as
  select gen_random_uuid() as caller, gen_random_uuid() as organization_id;
grant select on export to public;
create function pg_temp.goes_on(after text)
  returns boolean
  language sql
as $$ select continue_audit_export(caller, after, organization_id) from export $$;
create function pg_temp.note(reached text, begins boolean, ends boolean)
  returns void
  language sql
as $$ select note_audit_export(caller, reached, begins, ends, organization_id) from export $$;

-- acting as other roles
select tests.act_as_role('authenticated');
select tests.error_is('AUX-01: no client says that it goes on', '42501',
  $$ select pg_temp.goes_on('0:0') $$);
select tests.error_is('AUX-02: nor how far it is', '42501',
  $$ select pg_temp.note('0:0', true, true) $$);

-- acting as the function
select tests.act_as_role('service_role');
select ok(not pg_temp.goes_on('0:0'), 'AUX-03: nothing goes on that did not begin');
select pg_temp.note('5:10', true, false);
select ok(not pg_temp.goes_on('5:10'), 'AUX-04: nor while the request is under way that began it');
select ok(not pg_temp.goes_on('6:0'), 'AUX-05: nor further on');
select pg_temp.note('5:20', false, true);
select ok(not pg_temp.goes_on('5:19'), 'AUX-06: who goes back begins another export');
select ok(
  not (select continue_audit_export(gen_random_uuid(), '5:20', organization_id) from export),
  'AUX-07: somebody else does not go on with it'
);
select ok(
  not (select continue_audit_export(caller, '5:20', gen_random_uuid()) from export),
  'AUX-08: nor it in another organization'
);
select ok(
  not (select continue_audit_export(caller, '5:20') from export),
  'AUX-09: nor in the entries without one'
);
select is_empty(
  $$ select v from unnest('{"", "5", "5:", ":20", "5:20:1", "5:-1", " 5:21", "x:y",
       "9999999999999999:0"}'::text[] || null) as v
     where pg_temp.goes_on(v) $$,
  'AUX-10: what is no cursor is no place to go on from'
);
select ok(pg_temp.goes_on('5:20'), 'AUX-11: it goes on where it ended');
select ok(not pg_temp.goes_on('5:20'), 'AUX-12: once');
select ok(not pg_temp.goes_on('9:0'), 'AUX-13: and nowhere else meanwhile');
select pg_temp.note('6:0', false, true);
select pg_temp.note('5:30', false, true);
select ok(not pg_temp.goes_on('5:30'), 'AUX-14: a page that ends late takes nobody back');
select ok(pg_temp.goes_on('7:3'), 'AUX-15: it goes on further on');
select pg_temp.note('1:0', true, true);
select ok(pg_temp.goes_on('1:0'), 'AUX-16: another export continues from its own start');
select note_audit_export(caller, '3:3', true, true) from export;
select ok(
  (select continue_audit_export(caller, '3:3') from export),
  'AUX-17: entries without an organization are a log of their own'
);

-- in time
select tests.act_as_owner();
update bulwark_private.audit_exports e set noted_at = now() - interval '23 hours'
from export x where e.caller = x.caller and e.organization_id is null;
update bulwark_private.audit_exports e set noted_at = now() - interval '25 hours'
from export x where e.caller = x.caller and e.organization_id is not null;
select cleanup_old_audit_logs((bulwark_private.setting('audit.retention_days'))::integer);
select is_empty(
  $$ select from bulwark_private.audit_exports e, export x
     where e.caller = x.caller and e.organization_id is not null $$,
  'AUX-18: how far an export is, is forgotten after a day'
);
select isnt_empty(
  $$ select from bulwark_private.audit_exports e, export x where e.caller = x.caller $$,
  'AUX-19: and not before'
);

select * from finish();
rollback;
