-- A key is never a person, not even with a token of the role api_key that names one. Only a holder
-- of the signing secret can make such a token, for example an Auth hook that writes claims.
begin;
set local search_path = bulwark, public, extensions;
select plan(20);
select tests.create_organizations();
select tests.act_as('admin@acme.test');
create temporary table key as
  select (bulwark.create_api_key(tests.acme(), 'key', '{analytics:read}')).id;
select tests.act_as_owner();

-- Calls a question as a host application's SECURITY DEFINER function that is open to keys would.
create function public.host_asks(question text)
  returns text language plpgsql security definer set search_path = ''
as $$
declare
  v_answer text;
begin
  execute question into v_answer;
  return v_answer;
exception when insufficient_privilege then
  return 'refused';
end;
$$;
grant execute on function public.host_asks(text) to api_key;
create function pg_temp.asks(email text, role text, question text)
  returns text language plpgsql as $$
declare
  v_answer text;
begin
  perform set_config('request.jwt.claims', jsonb_build_object(
    'role', role, 'sub', tests.user_id(email), 'api_key_id', (select id from key),
    'session_id', tests.session_of(tests.user_id(email)),
    'organization_id', tests.acme()
  )::text, true);
  perform set_config('role', role, true);
  v_answer := public.host_asks(format(question, tests.acme()));
  perform tests.act_as_owner();
  return v_answer;
end;
$$;

select is(
  pg_temp.asks('admin@acme.test', r.role, q.question),
  case r.role when 'api_key' then q.to_key else q.to_person end,
  'KEP-80: ' || r.role || ' asks ' || q.question
)
from (values ('api_key'), ('authenticated')) as r (role)
cross join (values
  ('select ''let through'' from bulwark.require_permission(''analytics:read'', %L)',
    'refused', 'let through'),
  ('select bulwark_private.require_user() is not null', 'refused', 'true'),
  ('select bulwark_private.session_permits(auth.uid(), ''analytics:read'', %L)', 'false', 'true'),
  ('select bulwark.has_permission(''analytics:read'', %L)', 'refused', 'true'),
  ('select count(*) from bulwark.member_organizations()', '0', '1'),
  ('select bulwark_private.can_see_user(auth.uid(), %L)', 'false', 'true'),
  ('select count(*) from bulwark.organizations_with(''analytics:read'')', '1', '1'),
  ('select count(*) from bulwark.organizations_with(''audit:read'')', '0', '1')
) as q (question, to_key, to_person);
select is(
  pg_temp.asks('super@bulwark.test', 'api_key', 'select bulwark.is_super_admin()'), 'false',
  'KEP-80: a key is no super admin'
);
select is(
  pg_temp.asks('super@bulwark.test', 'authenticated', 'select bulwark.is_super_admin()'), 'true',
  'KEP-80: who is one, is'
);

-- the hook
create function pg_temp.hook(claims jsonb) returns text language plpgsql as $$
declare
  v_error text;
begin
  perform set_config('request.jwt.claims', claims::text, true);
  perform set_config('request.headers', '{}', true);
  perform set_config('role', 'api_key', true);
  v_error := tests.error('select bulwark.check_request()');
  perform tests.act_as_owner();
  return v_error;
end;
$$;
select is(
  pg_temp.hook(jsonb_build_object('role', 'api_key', 'api_key_id', (select id from key))),
  'no error', 'KEP-81: the hook lets a token of a key through'
);
select is(
  pg_temp.hook(jsonb_build_object(
    'role', 'api_key', 'api_key_id', (select id from key), 'sub', tests.user_id('admin@acme.test')
  )),
  'PT401 API_KEY_INVALID', 'KEP-81: and none that names a person besides'
);

select * from finish();
rollback;
