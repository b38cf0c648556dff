-- Audit exports: how far each caller has exported an organization's log, so that an export of many
-- pages, or of a log that is followed, is charged once.
-- Protects against requests that claim to continue an export in order not to be charged: only one
-- request at a time continues, where the one before it ended. A request that goes back starts
-- another export.
-- SECURITY DEFINER: continue_audit_export and note_audit_export, because clients may not write
--   their own progress.

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
  'Progress of users and API keys in exporting the log of an organization (null: the entries without
   one). Kept for a day and without foreign keys, because the log outlives organizations and
   accounts. Not audited: each page of an export is.';
comment on column bulwark_private.audit_exports.under_way is
  'Whether a request is reading on from there. A request that breaks off leaves it true; the next
   one is another export.';
alter table bulwark_private.audit_exports enable row level security;

create function bulwark.continue_audit_export(
  caller uuid,
  after text,
  organization_id uuid default null
)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because clients may not write their own progress
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
  'Whether a request continues an export of this caller (service role only): it starts where the
   last one ended, or later, and no other request is continuing.';

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
  security definer            -- definer because clients may not write their own progress
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
    -- A late page never moves the progress back.
    where begins or (excluded.seal, excluded.place) >= (e.seal, e.place);
end;
$$;
comment on function bulwark.note_audit_export(uuid, text, boolean, boolean, uuid) is
  'Records where a page of an export ended (service role only). A page that begins an export resets
   the progress; after a page that ends a request another request may continue.';
