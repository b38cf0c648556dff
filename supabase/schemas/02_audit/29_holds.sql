-- Audit legal holds: entries that must not be removed, whatever retention and erasure say.
-- Protects evidence against removal: a hold keeps the entries of an organization, a person or a
-- resource until it is released, also against a removal that was running when it was placed.
-- SECURITY DEFINER: place_legal_hold, release_legal_hold, because nobody may write holds directly;
--   the trigger audit_holds_reset_retention, because progress is kept in bulwark_private.

create table bulwark.audit_legal_holds (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid,
  subject_id uuid,
  resource_type text,
  resource_id text,
  reason text not null,
  placed_by uuid,
  placed_at timestamptz not null default now(),
  placed_by_operator boolean not null,
  released_by uuid,
  released_at timestamptz,
  constraint audit_legal_holds_holds_something
    check (num_nonnulls(organization_id, subject_id, resource_type) > 0),
  constraint audit_legal_holds_resource_has_a_type
    check (resource_id is null or resource_type is not null),
  constraint audit_legal_holds_reason_length check (length(btrim(reason)) between 1 and 1000)
);
comment on table bulwark.audit_legal_holds is
  'Holds on entries that match all given columns: an organization, a person or a resource. They must
   not be removed until the hold is released. No foreign keys: a hold outlives its subject.';
comment on column bulwark.audit_legal_holds.placed_by_operator is
  'A super_admin or the service role placed it, and only they can release it.';
create index audit_legal_holds_organization_id_idx on bulwark.audit_legal_holds (organization_id);

alter table bulwark.audit_legal_holds enable row level security;

create policy "Compliance officers read the holds of their organizations"
  on bulwark.audit_legal_holds for select to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('compliance:read')))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

insert into bulwark.settings (name, value, description) values
  ('audit.legal_holds', '1000',
    'Legal holds in force for an organization, or for none; four times as many are placed a day');

create function bulwark_private.addresses_of(user_id uuid, organization_id uuid)
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array(
    select lower(u.email) from auth.users u
    where u.id = addresses_of.user_id and u.email <> ''
    union
    select i.email
    from bulwark.invitations i
    where (addresses_of.organization_id is null
        or i.organization_id = addresses_of.organization_id)
      and (
        i.accepted_by = addresses_of.user_id
        or i.id in (
          select a.invitation_id from bulwark_private.invitation_accounts a
          where a.user_id = addresses_of.user_id
        )
      )
  );
$$;
comment on function bulwark_private.addresses_of(uuid, uuid) is
  'The e-mail addresses of a person, in lower case: that of the account, and every address by which
   the organization (null: any) invited it, also after the account is deleted.';

create function bulwark_private.address_pattern(addresses text[])
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  -- With boundaries, so that b@x.test does not match a.b@x.test or b@x.test.example. Within JSON an
  -- escaped line break before the address ends with a letter.
  select concat(
    '(?:(?<![[:alnum:]._%+-])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))(?:',
    string_agg(regexp_replace(f.form, '([^[:alnum:]@])', '\\\1', 'g'), '|' order by f.form),
    ')(?![[:alnum:]_-]|\.[[:alnum:]])'
  )
  from (
    select a as form from unnest(addresses) as a
    union
    select btrim(to_json(a)::text, '"') from unnest(addresses) as a
  ) f
  having count(*) > 0;
$$;
comment on function bulwark_private.address_pattern(text[]) is
  'A regular expression that matches any of these addresses in lower-case text; null for none.';

create function bulwark_private.mentions_person(content text, user_id uuid, pattern text)
  returns boolean
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return position(user_id::text in content) > 0
    or position('@' in content) > 0 and coalesce(lower(content) ~ pattern, false);
end;
$$;
comment on function bulwark_private.mentions_person(text, uuid, text) is
  'Whether the contents of an entry name a person, by id or by an address
   (bulwark_private.address_pattern).';

create view bulwark_private.audit_removable with (security_invoker = true) as
  select e.*
  from bulwark.audit_logs e
  where e.removed_by is null
    and e.event_type <> 'compliance.data_deleted'
    and not exists (
      -- Materialized: addresses are looked up once a query, not once an entry.
      with holds as materialized (
        select
          h.*,
          bulwark_private.address_pattern(
            bulwark_private.addresses_of(h.subject_id, h.organization_id)
          ) as pattern
        from bulwark.audit_legal_holds h
        where h.released_at is null
      )
      select from holds h
      where (h.organization_id is null or h.organization_id = e.organization_id)
        and (
          h.subject_id is null
          or h.subject_id = e.actor_id
          or bulwark_private.mentions_person(
            concat_ws(' ', e.resource_id, e.action, e.before, e.after, e.details),
            h.subject_id, h.pattern
          )
        )
        and (h.resource_type is null or h.resource_type = e.resource_type)
        and (h.resource_id is null or h.resource_id = e.resource_id)
    );
comment on view bulwark_private.audit_removable is
  'Entries that have a payload and that no legal hold keeps. Records of removals are never
   removed.';

create function bulwark_private.begin_audit_removal()
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Under a stricter isolation level finish_audit_removal would not see holds placed meanwhile.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot remove from the audit log: the transaction is not READ COMMITTED'
      using errcode = 'invalid_transaction_state', detail = 'AUDIT_REMOVAL_NEEDS_READ_COMMITTED',
        hint = 'Begin the transaction with isolation level read committed';
  end if;
  return array(select h.id from bulwark.audit_legal_holds h where h.released_at is null);
end;
$$;
comment on function bulwark_private.begin_audit_removal() is
  'The holds in force before a removal selects its entries, for finish_audit_removal. Errors:
   AUDIT_REMOVAL_NEEDS_READ_COMMITTED.';

create function bulwark_private.finish_audit_removal(
  known_holds uuid[], organizations uuid[] default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Holds are placed under this lock: a hold in progress is waited for, and none is placed until
  -- the commit.
  perform pg_advisory_xact_lock_shared(hashtextextended('bulwark.audit_holds', 0));
  -- A removed payload no longer names its subject, so every new hold in its organization counts.
  if exists (
    select from bulwark.audit_legal_holds h
    where h.released_at is null
      and h.id <> all (known_holds)
      and (organizations is null
        or h.organization_id is null and organizations <> '{}'
        or h.organization_id = any (organizations))
  ) then
    raise exception 'Cannot remove from the audit log: a legal hold was placed meanwhile'
      using errcode = 'PT409', detail = 'AUDIT_HOLD_PLACED',
            hint = 'Run it again: entries under the new hold are then kept';
  end if;
end;
$$;
comment on function bulwark_private.finish_audit_removal(uuid[], uuid[]) is
  'Undoes a removal of entries of some organizations (null: of all) if a hold that may keep one of
   them was placed since begin_audit_removal. Every removal calls both. Errors: AUDIT_HOLD_PLACED.';

create function bulwark_private.audit_legal_holds_wait()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_holds', 0));
  return new;
end;
$$;
comment on function bulwark_private.audit_legal_holds_wait() is
  'Trigger: a new hold waits for removals that are about to commit, and later ones see it.';

create function bulwark.place_legal_hold(
  reason text,
  organization_id uuid default null,
  subject_id uuid default null,
  resource_type text default null,
  resource_id text default null
)
  returns uuid
  language plpgsql
  volatile
  security definer            -- definer because nobody may write holds directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
  v_limit constant bigint := (bulwark_private.setting('audit.legal_holds'))::bigint;
begin
  perform bulwark_private.require_permission_to_act('compliance:manage', organization_id);
  if length(btrim(reason)) between 1 and 1000 is not true
    or num_nonnulls(organization_id, subject_id, resource_type) = 0
    or (resource_id is not null and resource_type is null) then
    raise exception 'Cannot place hold: it takes a reason and an organization, person or resource'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_HOLD';
  end if;
  -- Every removal checks every hold. The limit also counts holds that were released.
  perform bulwark_private.lock_count('audit_legal_holds', organization_id::text);
  if (
    select
      count(*) filter (where h.released_at is null) >= v_limit
      or count(*) filter (where h.placed_at > now() - interval '1 day') >= 4 * v_limit
    from bulwark.audit_legal_holds h
    where h.organization_id is not distinct from place_legal_hold.organization_id
      and (h.released_at is null or h.placed_at > now() - interval '1 day')
  ) then
    raise exception 'Cannot place hold: there are as many as there may be'
      using errcode = 'PT409', detail = 'AUDIT_TOO_MANY_HOLDS',
            hint = 'One hold can keep a whole organization; the limit is audit.legal_holds';
  end if;
  insert into bulwark.audit_legal_holds (
    reason, organization_id, subject_id, resource_type, resource_id, placed_by, placed_by_operator
  )
  values (
    btrim(place_legal_hold.reason), place_legal_hold.organization_id, place_legal_hold.subject_id,
    place_legal_hold.resource_type, place_legal_hold.resource_id, bulwark.current_person(),
    bulwark_private.caller_is_service() or bulwark.is_super_admin()
  )
  returning id into v_id;
  return v_id;
end;
$$;
comment on function bulwark.place_legal_hold(text, uuid, uuid, text, text) is
  'Keeps the entries that match all arguments from retention, erasure and pruning (compliance:manage
   in the organization, system-wide without one), and returns the hold''s id. A running removal is
   undone if the hold may keep one of its entries. Errors: AUDIT_INVALID_HOLD, AUDIT_TOO_MANY_HOLDS,
   RBAC_PERMISSION_DENIED.';

create function bulwark.release_legal_hold(hold_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because nobody may write holds directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold bulwark.audit_legal_holds;
begin
  select * into v_hold from bulwark.audit_legal_holds h where h.id = hold_id;
  -- The same answer for a hold that does not exist and one of a foreign organization.
  if not found then
    v_hold.organization_id := gen_random_uuid();
  end if;
  perform bulwark_private.require_permission_to_act('compliance:manage', v_hold.organization_id);
  if v_hold.placed_by_operator and not bulwark_private.caller_is_service()
    and not bulwark.is_super_admin() then
    raise exception 'Cannot release hold: a super_admin or the operator placed it'
      using errcode = 'insufficient_privilege', detail = 'AUDIT_HOLD_OUTRANKS_YOU',
            hint = 'Ask a super_admin';
  end if;
  update bulwark.audit_legal_holds h
  set released_at = now(), released_by = bulwark.current_person()
  where h.id = hold_id and h.released_at is null;
  if not found then
    raise exception 'Cannot release hold: it is not in force'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_HOLD',
        hint = 'List holds with: select id from bulwark.audit_legal_holds';
  end if;
end;
$$;
comment on function bulwark.release_legal_hold(uuid) is
  'Releases a legal hold (compliance:manage where it was placed; a hold placed by a super_admin or
   the service role only by them). Errors: AUDIT_UNKNOWN_HOLD, AUDIT_HOLD_OUTRANKS_YOU,
   RBAC_PERMISSION_DENIED.';

create function bulwark_private.audit_holds_reset_retention()
  returns trigger
  language plpgsql
  security definer            -- definer because progress is kept in bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  update bulwark_private.audit_retention_progress p set through_id = null;
  return null;
end;
$$;
comment on function bulwark_private.audit_holds_reset_retention() is
  'Trigger: entries that a released hold kept are old already, so retention starts over.';

create trigger audit_legal_holds_wait
  before insert on bulwark.audit_legal_holds
  for each row execute function bulwark_private.audit_legal_holds_wait();
-- A released hold cannot be restored, and the scope of a hold never changes: place another one.
create trigger audit_legal_holds_stay_released
  before update on bulwark.audit_legal_holds
  for each row when (old.released_at is not null and new.released_at is null)
  execute function bulwark_private.refuse_change();
create trigger audit_legal_holds_keep_columns
  before update on bulwark.audit_legal_holds
  for each row execute function bulwark.keep_columns(
    'id', 'organization_id', 'subject_id', 'resource_type', 'resource_id', 'placed_at'
  );
create trigger audit_legal_holds_reset_retention
  after update on bulwark.audit_legal_holds
  for each statement execute function bulwark_private.audit_holds_reset_retention();
-- Enabled always: session_replication_role skips ordinary triggers.
alter table bulwark.audit_legal_holds enable always trigger audit_legal_holds_wait;
alter table bulwark.audit_legal_holds enable always trigger audit_legal_holds_stay_released;
alter table bulwark.audit_legal_holds enable always trigger audit_legal_holds_keep_columns;
select bulwark.enable_audit(
  'bulwark.audit_legal_holds', organization_column => 'organization_id',
  event_types => '{config.changed,config.changed,config.changed}'
);
