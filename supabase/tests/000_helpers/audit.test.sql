-- Helpers for the audit log: a test is one transaction, so entries are given transaction ids ahead
-- of the real ones and are sealed by made-up snapshots. This file commits, like the other helpers.
begin;
set local search_path = bulwark, public, extensions;
create schema if not exists tests;
-- Some of them call other helpers, which this file alone does not have.
set local check_function_bodies = off;

create table if not exists tests.base (xid bigint, last bigint);
grant select on tests.base to anon, authenticated, service_role;

-- From here on ids are relative: to transactions after this one, and to seals after the last.
create or replace function tests.start_log()
  returns void
  language plpgsql
as $$
begin
  -- Where pg_cron is installed the real sealer runs too; it waits until the test is over.
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  delete from tests.base;
  insert into tests.base
  select pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000,
    (select coalesce(max(number), 0) from bulwark_private.audit_seals);
end;
$$;

-- The id of an entry by what it is called, version 7 and of this moment.
create or replace function tests.entry_id(name text, occurred_at timestamptz default now())
  returns uuid
  language sql
  stable
as $$
  select (
    substring(bulwark_private.audit_id_floor(occurred_at)::text for 14) || '7'
      || substring(md5(name) from 2 for 3) || '-8' || substring(md5(name) from 5 for 3) || '-'
      || substring(md5(name) for 12)
  )::uuid;
$$;

create or replace function tests.log_entry(
  at bigint,
  organization text,
  number integer,
  occurred_at timestamptz default now(),
  id_at timestamptz default null
)
  returns uuid
  language plpgsql
as $$
declare
  v_id constant uuid := tests.entry_id(organization || number, coalesce(id_at, occurred_at));
begin
  alter table bulwark.audit_logs disable trigger audit_logs_stamp;
  insert into bulwark.audit_logs (
    id, xid, occurred_at, timeline, salt, source, severity, event_type, organization_id, actor_type,
    database_user, resource_type, action, details
  )
  select
    v_id, (b.xid + at)::text::xid8, log_entry.occurred_at,
    (select max(timeline) from bulwark_private.audit_timelines), md5(
      'salt' || number
    )::uuid, 'service', 'info',
    'data.read', tests.organization_id(organization), 'service', 'postgres', 'public.tests', 'read',
    jsonb_build_object('number', number)
  from tests.base b;
  alter table bulwark.audit_logs enable always trigger audit_logs_stamp;
  return v_id;
end;
$$;

-- Seals what is through a transaction, but for those that were open then.
create or replace function tests.seal_log(through bigint, open text default '')
  returns integer
  language sql
as $$
  select (bulwark_private.write_audit_seal(format(
    '%s:%s:%s', coalesce(min(o::bigint), b.xid + through + 1), b.xid + through + 1,
    string_agg(o, ',')
  )::pg_snapshot) - b.last)::integer
  from tests.base b
  left join lateral (
    select (b.xid + x::bigint)::text as o from unnest(string_to_array(nullif(open, ''), ',')) as x
  ) opened on true
  group by b.xid, b.last;
$$;

-- The verdict: intact, complete, the problem, its seal.
create or replace function tests.log_verdict(organization text default null)
  returns text
  language sql
as $$
  select concat_ws(' ', v.intact, v.complete, v.problem, v.seal - b.last)
  from tests.base b, verify_audit_log(tests.organization_id(organization), after_seal => b.last) v;
$$;

-- The same, with the entry, after something that is then undone.
create or replace function tests.log_verdict_after(statement text, organization text default null)
  returns text
  language plpgsql
as $$
declare
  v_found text;
begin
  begin
    execute statement;
    select concat_ws(' ', v.intact, v.complete, v.problem, v.seal - b.last, v.entry) into v_found
    from tests.base b,
      verify_audit_log(tests.organization_id(organization), after_seal => b.last) v;
    raise exception sqlstate 'TT000';
  exception when sqlstate 'TT000' then
    return v_found;
  end;
end;
$$;

-- Some seals grow older, and the chain is made anew.
create or replace function tests.age_seals(first bigint, last bigint, age interval)
  returns void
  language plpgsql
as $$
declare
  v_number bigint;
begin
  alter table bulwark_private.audit_seals disable trigger audit_seals_refuse_change;
  for v_number in select s.number from bulwark_private.audit_seals s order by s.number loop
    update bulwark_private.audit_seals s
    set sealed_at = case
          when v_number between b.last + first and b.last + age_seals.last then now() - age
          else s.sealed_at
        end,
        previous_hash = coalesce(
          (select p.hash from bulwark_private.audit_seals p where p.number = v_number - 1),
          s.previous_hash
        )
    from tests.base b
    where s.number = v_number;
    update bulwark_private.audit_seals s
    set hash = bulwark_private.audit_seal_hash(
      s.number, s.previous_hash, s.root, s.timeline, s.sealed_at, s.snapshot, s.through
    )
    where s.number = v_number;
    update bulwark_private.audit_seals s set nodes = bulwark_private.audit_seal_nodes(
      s.number, s.hash
    )
    where s.number = v_number;
  end loop;
  alter table bulwark_private.audit_seals enable always trigger audit_seals_refuse_change;
end;
$$;

-- A signer as the function audit names one, and a note with its line; the signature is made up.
create or replace function tests.log_signer(name text, secret text default null)
  returns jsonb
  language sql
  immutable
as $$
  select jsonb_build_object(
    'name', 'bulwark.test/log', 'public_key', encode(sha256(name::bytea), 'base64'),
    'writer', translate(encode(sha512(coalesce(secret, name)::bytea), 'base64'), E'\n', '')
  );
$$;

create or replace function tests.log_note(size bigint, root text, variadic names text[])
  returns text
  language sql
  immutable
as $$
  select format(E'bulwark.test/log\n%s\n%s\n\n', size, root) || string_agg(
    E'\u2014 bulwark.test/log ' || translate(encode(
      decode(bulwark_private.audit_key_id('bulwark.test/log', sha256(n::bytea)), 'hex')
        || sha512(n::bytea), 'base64'
    ), E'\n', '') || E'\n', '' order by place
  )
  from unnest(names) with ordinality as t (n, place);
$$;
-- Five seals of entries of both organizations, in order of commit and not of transaction ids.
create or replace function tests.fill_log()
  returns void
  language plpgsql
as $$
begin
  perform tests.seal_log(0);
  perform tests.log_entry(1, 'acme', n) from generate_series(1, 3) as n;
  perform tests.log_entry(2, 'globex', n) from generate_series(1, 2) as n;
  perform tests.seal_log(2, '1');
  perform tests.log_entry(3, 'acme', 4);
  perform tests.seal_log(3);
  perform tests.log_entry(4, 'acme', 5), tests.log_entry(4, 'globex', 3);
  perform tests.seal_log(4);
  perform tests.log_entry(5, 'globex', 4);
  perform tests.seal_log(5);
end;
$$;

create or replace function tests.sign_log()
  returns void
  language sql
as $$
  select bulwark.store_audit_checkpoint(
    tree_size, root_hash, tests.log_note(tree_size, root_hash, 'one'),
    jsonb_build_array(tests.log_signer('one'))
  ) from bulwark.audit_tree_head();
$$;

-- The root that a path of hashes leads to (RFC 9162 2.1.3.2), implemented differently from the code
-- under test.
create or replace function tests.follow_path(leaf bytea, index bigint, size bigint, path bytea[])
  returns bytea
  language plpgsql
as $$
declare
  v_hash bytea := leaf;
  v_index bigint := index;
  v_last bigint := size - 1;
  v_sibling bytea;
begin
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
grant execute on all functions in schema tests to public;

select plan(1);
select is(
  substring(tests.entry_id('a', '2026-11-22')::text for 15), '01a2008d-7400-7',
  'HELP-03: tests.entry_id() makes version 7'
);
select * from finish();
commit;
