-- Helpers of all capabilities: durations compared as timestamps, and the claims of a request.
begin;
set local search_path = bulwark, public, extensions;
select plan(9);

-- lengths of time
select ok(bulwark_private.lasts_up_to('7 days', '7 days'), 'FND-01: a length reaches its bound');
select ok(
  not bulwark_private.lasts_up_to('7 days 1 microsecond', '7 days'), 'FND-01: and goes no further'
);
select ok(bulwark_private.lasts_up_to('0', '7 days'), 'FND-02: nothing is a length');
select ok(
  not bulwark_private.lasts_up_to('-1 microsecond', '7 days'), 'FND-02: less than nothing is none'
);
select is(
  array[bulwark_private.lasts_up_to(null, '7 days'), bulwark_private.lasts_up_to('1 day', null)],
  '{f,f}', 'FND-03: of an unknown length or bound the answer is no'
);
-- Among intervals the first is no longer than the second, and the other one is nothing at all.
select ok(
  not bulwark_private.lasts_up_to(
    '1 year', '360 days'
  ), 'FND-04: a year is as long as the calendar has it'
);
select ok(
  not bulwark_private.lasts_up_to(
    '1200 mons -36000 days', '7 days'
  ), 'FND-04: however it is written'
);

-- claims of a request
select is(
  bulwark_private.uuid_or_null('00000000-0000-4000-8000-00000000000A'),
  '00000000-0000-4000-8000-00000000000a'::uuid, 'FND-05: a claim that is a UUID is one'
);
select is(
  array(
    select bulwark_private.uuid_or_null(claim)
    from unnest(array[
      null, '', 'x', '{00000000-0000-4000-8000-00000000000a}', '00000000000040008000000000000000',
      E'00000000-0000-4000-8000-00000000000a\n', '00000000-0000-4000-8000-00000000000g',
      '0000000-00000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000-a',
      '------------------------------------', '00000000-0000-4000-8000-00000000000é'
    ]) as claim
  ),
  array_fill(null::uuid, array[11]), 'FND-06: any other claim is nothing, and no error'
);
select * from finish();
rollback;
