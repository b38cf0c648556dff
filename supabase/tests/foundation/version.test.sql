-- The version: what is installed, and who may ask.
begin;
set local search_path = bulwark, public, extensions;
select plan(6);

select matches(
  bulwark.version(), '^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9a-z.-]+)?$',
  'VER-01: the version is one of Semantic Versioning'
);
select is_empty(
  $$ select from bulwark.installed_capabilities()
     where version is distinct from bulwark.version() $$,
  'VER-01: all capabilities have it'
);
select is_empty(
  $$ select c from unnest('{foundation,rbac,audit,security_events,cache,restores}'::text[]) as c
     where c not in (select i.capability from bulwark.installed_capabilities() i) $$,
  'VER-02: the core is installed'
);
set local role service_role;
select isnt(bulwark.version(), null, 'VER-03: the service role may ask');
set local role authenticated;
select throws_ok($$ select bulwark.version() $$, '42501', null, 'VER-03: clients may not');
select throws_ok(
  $$ select from bulwark.installed_capabilities() $$, '42501', null, 'VER-03: nor for the list'
);
select * from finish();
rollback;
