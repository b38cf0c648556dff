-- Exports that go on: how far each caller has read an organization's log, so that an export of many
-- pages, or of a log that is followed, counts as one.
-- Protects against an export that claims to go on, in order not to count: only one request at a
-- time goes on, from where the one before it ended; whoever goes back begins another export.
-- SECURITY DEFINER: continue_audit_export and note_audit_export, because no client says how far it
--   is.

create table bulwark_private.audit_exports (
  caller uuid not null,
  organization_id uuid,
  seal bigint not null,
  place bigint not null,
  under_way boolean not null,
  noted_at timestamptz not null default now(),
  constraint audit_exports_is_one unique nulls not distinct (caller, organization_id)
);
comment on table bulwark_private.audit_exports is
  'How far users and API keys have exported the log of an organization (null: the entries without
   one); for a day, because the log outlives organizations and accounts. Not audited: each page of
   an export is.';
comment on column bulwark_private.audit_exports.under_way is
  'Whether a request reads on from there. One that breaks off leaves it so: what follows is another
   export.';
alter table bulwark_private.audit_exports enable row level security;

create function bulwark.continue_audit_export(
  caller uuid,
  after text,
  organization_id uuid default null
)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because no client says how far it is
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_place bigint;
  v_seal bigint;
begin
  if after is null or after !~ '^[0-9]{1,15}:[0-9]{1,15}$' then
    return false;
  end if;
  v_seal := split_part(after, ':', 1)::bigint;
  v_place := split_part(after, ':', 2)::bigint;
  update bulwark_private.audit_exports e
  set seal = v_seal, place = v_place, under_way = true, noted_at = now()
  where e.caller = caller
    and e.organization_id is not distinct from organization_id
    and not e.under_way
    and (e.seal, e.place) <= (v_seal, v_place);
  return found;
end;
$$;
comment on function bulwark.continue_audit_export(uuid, text, uuid) is
  'Whether a request goes on with an export of this caller (service role only): it begins where the
   one before it ended, or further on, and no other one does.';

create function bulwark.note_audit_export(
  caller uuid,
  reached text,
  begins boolean,
  ends boolean,
  organization_id uuid default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client says how far it is
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  insert into bulwark_private.audit_exports as e (caller, organization_id, seal, place, under_way)
  values (
    caller, organization_id, split_part(reached, ':', 1)::bigint,
    split_part(reached, ':', 2)::bigint, not ends
  )
  on conflict on constraint audit_exports_is_one do update
    set seal = excluded.seal, place = excluded.place, under_way = excluded.under_way,
        noted_at = excluded.noted_at
    -- A page that ends late takes nobody back to where it is.
    where begins or (excluded.seal, excluded.place) >= (e.seal, e.place);
end;
$$;
comment on function bulwark.note_audit_export(uuid, text, boolean, boolean, uuid) is
  'Notes where a page of an export ended (service role only); one that begins an export starts
   anew, and after one that ends a request another may go on.';
