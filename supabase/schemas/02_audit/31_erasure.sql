-- Audit erasure: removes the payloads of one person's entries, in bounded steps, and the
-- invitations of that person's addresses.
-- Protects the right to be forgotten, and the evidence that outlives it: entries that are critical
-- or of category security stay (GDPR Art. 17(3)(b) and (e)), unless a compliance manager of the
-- whole installation removes them too. The record names nobody, and counts the kept entries.
-- SECURITY DEFINER: erase_subject, because no client may change the log.

create function bulwark_private.require_erasable(user_id uuid, organization_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
begin
  -- Only accounts, also former ones, actors and subjects of an earlier erasure can be erased, not
  -- organizations or other rows. An organization can erase only persons it knows, so that it
  -- cannot probe for accounts.
  if exists (
    select from bulwark_private.audit_groups g where g.organization_id = require_erasable.user_id
  ) or not exists (
    select from auth.users u
    where u.id = require_erasable.user_id
      and (require_erasable.organization_id is null or exists (
        select from bulwark.user_roles g
        where g.user_id = u.id and g.organization_id = require_erasable.organization_id
      ))
  ) and not exists (
    select from bulwark_private.audit_entries_with(
      'actor_id', require_erasable.user_id::text, '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff', 1, require_erasable.organization_id
    )
  ) and not exists (
    -- An account that is gone, and may never have acted: its own entries, which nobody can report.
    select
    from bulwark_private.audit_entries_with(
      'resource_id', require_erasable.user_id::text, '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff', 50000, require_erasable.organization_id
    ) i
    join bulwark.audit_logs e on e.id = i.id
    where e.source = 'auth' and e.resource_type = 'auth.users'
  ) and not exists (
    -- The records of removals that still cover an entry: one probe of an index for each.
    select
    from (
      select d.id
      from bulwark_private.audit_removals_below('ffffffff-ffff-ffff-ffff-ffffffffffff') as d (id)
      union
      select l.removed_by from bulwark_private.audit_logs_default l where l.removed_by is not null
    ) d
    cross join lateral (
      select * from bulwark.audit_logs r where r.id = d.id limit 1
    ) e
    where (require_erasable.organization_id is null
        or e.organization_id = require_erasable.organization_id)
      and e.event_type = 'compliance.data_deleted'
      and e.source = 'system'
      and e.details ->> 'subject' = bulwark_private.audit_subject(require_erasable.user_id)
  ) and not exists (
    select from bulwark_private.invitation_accounts a
    join bulwark.invitations i on i.id = a.invitation_id
    where a.user_id = require_erasable.user_id
      and (require_erasable.organization_id is null
        or i.organization_id = require_erasable.organization_id)
  ) then
    raise exception 'Cannot erase subject: nobody is known by that id'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_SUBJECT',
        hint = 'Pass the id of auth.users; after a deletion, the id that the log has';
  end if;
  if exists (
    select from bulwark.audit_legal_holds h
    where h.released_at is null
      and h.subject_id = require_erasable.user_id
      and (h.organization_id is null or require_erasable.organization_id is null
        or h.organization_id = require_erasable.organization_id)
  ) then
    raise exception 'Cannot erase subject: a legal hold keeps what is known of them'
      using errcode = 'PT409', detail = 'AUDIT_LEGAL_HOLD',
        hint = 'Release the hold with release_legal_hold first, or wait until it is released';
  end if;
end;
$$;
comment on function bulwark_private.require_erasable(uuid, uuid) is
  'Raises AUDIT_UNKNOWN_SUBJECT or AUDIT_LEGAL_HOLD if a person cannot be erased.';

create function bulwark_private.audit_subject(user_id uuid)
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$ select encode(sha256(uuid_send(user_id)), 'hex'); $$;
comment on function bulwark_private.audit_subject(uuid) is
  'The person in the record of an erasure, as the hash of the id. A random id cannot be guessed from
   it, but it answers whether this person was erased.';

create function bulwark_private.erase_invitations(addresses text[], organization_id uuid)
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_erased text[];
begin
  with erased as (
    delete from bulwark.invitations i
    where i.email = any (addresses)
      and (erase_invitations.organization_id is null
        or i.organization_id = erase_invitations.organization_id)
      and not exists (
        select from bulwark.audit_legal_holds h
        where h.released_at is null
          and (h.organization_id is null or h.organization_id = i.organization_id)
          and (h.subject_id is null
            or i.email = any (bulwark_private.addresses_of(h.subject_id, h.organization_id)))
          and (h.resource_type is null or h.resource_type = 'bulwark.invitations')
          and (h.resource_id is null or h.resource_id = i.id::text)
      )
    returning i.id
  )
  select array_agg(e.id::text) into v_erased from erased e;
  return array(
    select e.id
    from bulwark.audit_logs e
    where e.timeline = bulwark_private.audit_timeline()
      and e.xid = pg_current_xact_id()
      and e.resource_type = 'bulwark.invitations'
      and e.resource_id = any (v_erased)
  );
end;
$$;
comment on function bulwark_private.erase_invitations(text[], uuid) is
  'Deletes the invitations of these addresses in an organization (null: in all) that no legal hold
   keeps. Returns the entries that this wrote: they contain no address, but the person who
   accepted.';

create function bulwark_private.remove_subject_payloads(ids uuid[], subject uuid, details jsonb)
  returns table (removed integer, organizations uuid[])
  language plpgsql
  volatile
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch record;
begin
  removed := 0;
  organizations := '{}';
  for v_batch in
    select e.organization_id, array_agg(e.id order by e.id) as ids
    from bulwark_private.audit_removable e
    where e.id = any (remove_subject_payloads.ids)
    group by e.organization_id
  loop
    removed := removed + bulwark_private.remove_audit_payloads(
      v_batch.ids, v_batch.organization_id,
      details || jsonb_build_object(
        'kind', 'erasure', 'subject', bulwark_private.audit_subject(subject)
      )
    );
    organizations := organizations || v_batch.organization_id;
  end loop;
  return next;
end;
$$;
comment on function bulwark_private.remove_subject_payloads(uuid[], uuid, jsonb) is
  'Removes the payloads of these entries, except under a legal hold, with a record for each
   organization that identifies the person by a hash.';

create function bulwark.erase_subject(
  user_id uuid,
  reason text,
  organization_id uuid default null,
  evidence boolean default false,
  after uuid default null,
  max_entries integer default 5000,
  max_seconds integer default 4
)
  returns table (removed integer, kept integer, next_after uuid, archived jsonb)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because no client may change the log
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_details constant jsonb := jsonb_build_object('reason', reason, 'evidence', evidence);
  v_found uuid[] := array[]::uuid[];
  v_holds uuid[];
  v_organizations uuid[];
  v_page record;
  v_pattern text;
  v_started constant timestamptz := clock_timestamp();
begin
  perform bulwark.require_permission(
    'compliance:manage', case when not evidence then organization_id end
  );
  if user_id is null or evidence is null or length(btrim(reason)) between 1 and 500 is not true then
    raise exception 'Cannot erase subject: it takes a user and a reason of up to 500 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_ERASURE';
  end if;
  if max_entries between 1 and 50000 is not true or max_seconds between 1 and 60 is not true then
    raise exception 'Cannot erase subject: a step takes 1 to 50000 entries and 1 to 60 seconds'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  v_holds := bulwark_private.begin_audit_removal();
  perform bulwark_private.require_erasable(user_id, organization_id);
  v_pattern := bulwark_private.address_pattern(
    bulwark_private.addresses_of(user_id, organization_id)
  );
  kept := 0;
  next_after := coalesce(after, '00000000-0000-0000-0000-000000000000');
  -- Reads the log in pages by id: a step is bounded by the entries it reads, not by those it finds.
  loop
    select
      count(*) as read,
      (array_agg(p.id order by p.id desc))[1] as last,
      array_agg(p.id order by p.id) filter (where p.named and not p.is_evidence) as found,
      count(*) filter (where p.named and p.is_evidence) as kept
    into v_page
    from (
      select
        e.id,
        e.removed_by is null and (
          e.actor_id = erase_subject.user_id
          or bulwark_private.mentions_person(
            concat_ws(' ', e.resource_id, e.action, e.before, e.after, e.details),
            erase_subject.user_id, v_pattern
          )
        ) as named,
        not evidence and (e.severity = 'critical' or e.event_type like 'security.%')
          as is_evidence
      from (
        (
          select * from bulwark.audit_logs l
          where erase_subject.organization_id is null and l.id > next_after
          order by l.id
          limit least(2000, max_entries)
        )
        union all
        -- Sorted by both columns of the index, so that no other can be taken for a faster one.
        (
          select * from bulwark.audit_logs l
          where (l.organization_id, l.id) > (erase_subject.organization_id, next_after)
            and (l.organization_id, l.id)
              <= (erase_subject.organization_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          order by l.organization_id, l.id
          limit least(2000, max_entries)
        )
      ) e
    ) p;
    v_found := v_found || v_page.found;
    kept := kept + v_page.kept;
    next_after := coalesce(v_page.last, next_after);
    if v_page.read < least(2000, max_entries) then
      next_after := null;
      exit;
    end if;
    exit when cardinality(v_found) >= max_entries
      or clock_timestamp() - v_started > make_interval(secs => max_seconds);
  end loop;
  select r.removed, r.organizations into removed, v_organizations
  from bulwark_private.remove_subject_payloads(v_found, user_id, v_details) r;
  -- Checked again at the end instead of locked throughout: changes of rights must not wait for a
  -- whole step.
  perform bulwark_private.require_permission_to_act(
    'compliance:manage', case when not evidence then organization_id end
  );
  -- Last, because a person's addresses are found by them; and after the rights, to keep the lock
  -- order.
  if next_after is null then
    select erase_subject.removed + r.removed, v_organizations || r.organizations
    into removed, v_organizations
    from bulwark_private.remove_subject_payloads(
      bulwark_private.erase_invitations(
        bulwark_private.addresses_of(user_id, organization_id), organization_id
      ),
      user_id, v_details
    ) r;
  end if;
  perform bulwark_private.finish_audit_removal(v_holds, v_organizations);
  -- Restored entries are copies, so whole rows go. The archive's files are out of reach.
  delete from bulwark.audit_restored_logs r
  where (erase_subject.organization_id is null or r.organization_id = erase_subject.organization_id)
    and (
      r.actor_id = erase_subject.user_id
      or bulwark_private.mentions_person(
        concat_ws(' ', r.resource_id, r.action, r.before, r.after, r.details),
        erase_subject.user_id, v_pattern
      )
    );
  archived := bulwark_private.archived_audit_months(erase_subject.organization_id, null, null);
  return next;
end;
$$;
comment on function bulwark.erase_subject(uuid, text, uuid, boolean, uuid, integer, integer) is
  'Removes the payloads of entries that a user made or that name the user''s id or one of the
   user''s e-mail addresses, and at the end the invitations of those addresses (compliance:manage in
   the organization, or system-wide for all of them). Entries under a legal hold on something else
   stay, and so do entries that are critical or of category security, unless evidence is true
   (compliance:manage system-wide). One step of bounded size: call it again with after set to
   next_after until that is null. Returns how many this step removed and how many it kept as
   evidence, and the archived months, whose files it does not reach; restored entries it deletes.
   The records keep only a hash of the id. Errors: AUDIT_LEGAL_HOLD, AUDIT_HOLD_PLACED,
   AUDIT_UNKNOWN_SUBJECT, AUDIT_INVALID_ERASURE, AUDIT_INVALID_LIMIT, AUDIT_REMOVAL_CONFLICT,
   AUDIT_REMOVAL_NEEDS_READ_COMMITTED, RBAC_PERMISSION_DENIED.';
