begin;
create extension if not exists pgtap with schema extensions;
select plan(9);

-- Vic, who only reads
set local role authenticated;
set local request.jwt.claims = '{"sub": "2a000000-0000-4000-8000-000000000002", "role": "authenticated"}';
select results_eq('select title from notes order by title', array['Heron', 'Stork'], 'reads the birds');
select throws_ok(
  $$insert into notes (workspace, title) values ('ws_birds', 'Eagle')$$, '42501', null, 'writes no bird'
);
select lives_ok(
  $$insert into notes (workspace, title) select id, 'Groceries' from workspaces where personal$$,
  'writes at home'
);
select lives_ok(
  $$insert into storage.objects (bucket_id, name) values ('photos', 'ws_birds/1/heron.jpg')$$,
  'uploads a photo'
);
select throws_ok(
  $$insert into storage.objects (bucket_id, name) values ('photos', 'ws_other/1/heron.jpg')$$,
  '42501', null, 'to no workspace of others'
);
select is(map_key(), 'a-key-of-the-map-service', 'gets map tiles');

-- Uma, an administrator
set local request.jwt.claims = '{"sub": "2a000000-0000-4000-8000-000000000001", "role": "authenticated"}';
select is_empty($$select from notes where title = 'Groceries'$$, 'does not see what Vic buys');

-- a visitor
set local role anon;
set local request.jwt.claims = '{"role": "anon"}';
select throws_ok('select map_key()', '42501', null, 'gets none');

reset role;
select isnt_empty(
  $$select from pg_publication_tables where pubname = 'supabase_realtime' and tablename = 'notes'$$,
  'notes are sent to other devices'
);

select * from finish();
rollback;
