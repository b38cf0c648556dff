-- Reviewing: starts a campaign, decides about one access at a time, and closes it.
-- Protects against a reviewer who ends what outranks them: an end is the real removal, with the
-- reviewer's own rights, in the same transaction as the decision. Of two reviewers that decide at
-- once the second is refused.
-- SECURITY DEFINER: start_access_review, list_access_review, decide_access, close_access_review,
--   because no client writes reviews or reads the grants of others; remind_access_reviews, because
--   no API role writes the log.

create function bulwark.start_access_review(
  organization_id uuid,
  name text,
  due_at timestamptz,
  reviewers uuid[]
)
  returns bulwark.access_reviews
  language plpgsql
  volatile
  security definer            -- definer because no client writes reviews
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_items bigint;
  v_review bulwark.access_reviews;
begin
  if num_nulls(organization_id, name, due_at, reviewers) > 0 then
    raise exception 'Cannot start review: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'COMPLIANCE_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_permission_to_act('role:grant', organization_id);
  if length(btrim(name)) not between 1 and 120 or name ~ '[[:cntrl:]]'
    or cardinality(reviewers) not between 1 and 50 or array_ndims(reviewers) > 1
    or not isfinite(due_at) or due_at <= clock_timestamp()
    or due_at > now() + interval '366 days' then
    raise exception 'Cannot start review: it has a name, 1 to 50 reviewers and a year at most'
      using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_REVIEW';
  end if;
  if exists (
    select from unnest(reviewers) as r
    where bulwark_private.is_member(r, start_access_review.organization_id) is not true
  ) then
    raise exception 'Cannot start review: a reviewer is not a member of the organization'
      using errcode = 'insufficient_privilege', detail = 'RBAC_NOT_A_MEMBER',
        hint = 'Choose members: list_members lists them';
  end if;
  perform bulwark_private.lock_count('access_reviews', organization_id::text);
  if (
    select count(*) from bulwark.access_reviews r
    where r.organization_id = start_access_review.organization_id
  ) >= (bulwark_private.setting('compliance.reviews'))::bigint then
    raise exception 'Cannot start review: the organization has as many as it may have'
      using errcode = 'PT409', detail = 'COMPLIANCE_TOO_MANY_REVIEWS',
            hint = 'They go compliance.review_days after they were closed';
  end if;
  insert into bulwark.access_reviews (organization_id, name, reviewers, due_at, started_by)
  values (
    start_access_review.organization_id, btrim(start_access_review.name),
    array(select distinct r from unnest(start_access_review.reviewers) as r order by 1),
    start_access_review.due_at, bulwark.current_person()
  )
  returning * into v_review;
  insert into bulwark.access_review_items
    (review_id, organization_id, user_id, api_key_id, access)
  select v_review.id, v_review.organization_id, m.user_id, m.api_key_id, m.access
  from (
    select g.user_id, null::uuid as api_key_id,
      bulwark_private.access_of_member(g.user_id, v_review.organization_id) as access
    from (
      select distinct u.user_id from bulwark_private.unexpired_grants u
      where u.organization_id = v_review.organization_id
      limit 10001
    ) g
    union all
    (
      select k.owner_id, k.id, bulwark_private.access_of_key(k.id)
      from bulwark.api_keys k
      where k.organization_id = v_review.organization_id
        and k.revoked_at is null and k.expires_at > now()
      limit 10001
    )
  ) m;
  get diagnostics v_items = row_count;
  if v_items > 10000 then
    raise exception 'Cannot start review: it would have more than 10,000 members and keys'
      using errcode = 'PT409', detail = 'COMPLIANCE_TOO_MANY_ITEMS',
        hint = 'Remove members and revoke keys that are not needed first';
  end if;
  perform bulwark_private.append_audit_entry(
    'compliance.review_started', v_review.organization_id, 'bulwark.access_reviews',
    v_review.id::text, 'start',
    details => jsonb_build_object(
      'name', v_review.name, 'due_at', v_review.due_at, 'items', v_items,
      'reviewers', v_review.reviewers
    )
  );
  return v_review;
end;
$$;
comment on function bulwark.start_access_review(uuid, text, timestamptz, uuid[]) is
  'Starts a review of every member and every API key in force of an organization (role:grant), up
   to 10,000, by 1 to 50 members until due_at, a year ahead at most. The event
   audit.compliance.review_due reminds the reviewers. Errors: COMPLIANCE_INVALID_REVIEW,
   COMPLIANCE_TOO_MANY_ITEMS, COMPLIANCE_TOO_MANY_REVIEWS, COMPLIANCE_NULL_ARGUMENT,
   RBAC_NOT_A_MEMBER, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

create function bulwark_private.find_access_review(
  review_id uuid, reading boolean
)
  returns bulwark.access_reviews
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_review bulwark.access_reviews;
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.require_caller();
  select * into v_review from bulwark.access_reviews r where r.id = review_id;
  -- The same answer for a review that does not exist and one of a foreign organization.
  if not found or not bulwark_private.caller_is_service()
    and not (
      v_user = any (v_review.reviewers)
      and bulwark_private.session_permits(v_user, 'user:read', v_review.organization_id)
    )
    and not (
      reading
      and bulwark_private.session_permits(v_user, 'compliance:read', v_review.organization_id)
    ) then
    raise exception 'Cannot find review: there is none that you may see or decide'
      using errcode = 'PT404', detail = 'COMPLIANCE_UNKNOWN_REVIEW',
        hint = 'List them with: select id from access_reviews';
  end if;
  return v_review;
end;
$$;
comment on function bulwark_private.find_access_review(uuid, boolean) is
  'A review that the caller decides (a reviewer who holds user:read there) or reads
   (compliance:read). Raises COMPLIANCE_UNKNOWN_REVIEW.';

create function bulwark.list_access_review(
  review_id uuid,
  undecided boolean default false,
  after uuid default null,
  page_size integer default 100
)
  returns table (
    id uuid,
    user_id uuid,
    email text,
    name text,
    api_key_id uuid,
    access jsonb,
    version text,
    decision bulwark.access_review_decision,
    outcome bulwark.access_review_outcome,
    note text,
    decided_by uuid,
    decided_at timestamptz
  )
  language plpgsql
  stable
  rows 100
  security definer            -- definer because no client reads the grants of others
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_review constant bulwark.access_reviews := bulwark_private.find_access_review(review_id, true);
  -- As in list_members.
  v_names constant boolean := bulwark_private.caller_is_service()
    or bulwark_private.session_permits(
      bulwark.current_person(), 'user:read', v_review.organization_id
    );
begin
  return query
    select
      i.id, i.user_id, m.email, bulwark_private.printable_name(m.said_name), i.api_key_id,
      p.access,
      bulwark_private.access_version(p.access),
      i.decision, i.outcome, i.note, i.decided_by, i.decided_at
    from (
      select * from bulwark.access_review_items t
      where t.review_id = v_review.id
        and (not undecided or t.decision is null)
        and (list_access_review.after is null or t.id > list_access_review.after)
      order by t.id
      limit least(greatest(page_size, 1), 1000)
    ) i
    -- Of members only, as in list_members.
    left join bulwark_private.people m
      on v_names and m.user_id = i.user_id and exists (
        select from bulwark_private.unexpired_grants g
        where g.user_id = i.user_id and g.organization_id = v_review.organization_id
      )
    cross join lateral (
      select case
        when i.decision is not null or v_review.closed_at is not null then i.access
        when i.api_key_id is not null then bulwark_private.access_of_key(i.api_key_id)
        else bulwark_private.access_of_member(i.user_id, v_review.organization_id)
      end
    ) p (access)
    order by i.id;
end;
$$;
comment on function bulwark.list_access_review(uuid, boolean, uuid, integer) is
  'The items of a review, for its reviewers (user:read) and readers (compliance:read; email and
   name need user:read, too), by id: after is that of the last row of the previous page. access is
   what a member or key can do now (null: nothing any more) or, once decided, could do then;
   version goes with the decision. Errors:
   COMPLIANCE_UNKNOWN_REVIEW.';

create function bulwark.decide_access(
  item_id uuid,
  decision bulwark.access_review_decision,
  version text default null,
  note text default null
)
  returns bulwark.access_review_items
  language plpgsql
  volatile
  security definer            -- definer because no client writes reviews
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_access jsonb;
  v_item bulwark.access_review_items;
  v_outcome bulwark.access_review_outcome;
  v_review bulwark.access_reviews;
  v_user constant uuid := bulwark_private.require_user();
begin
  if decision is null or item_id is null then
    raise exception 'Cannot decide: the item or the decision is null'
      using errcode = 'null_value_not_allowed', detail = 'COMPLIANCE_NULL_ARGUMENT';
  end if;
  if length(btrim(note)) not between 1 and 500 or note ~ '[[:cntrl:]]' then
    raise exception 'Cannot decide: a note has 1 to 500 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_NOTE';
  end if;
  select * into v_item from bulwark.access_review_items i where i.id = item_id;
  v_review := bulwark_private.find_access_review(v_item.review_id, false);
  if v_item.user_id = v_user then
    raise exception 'Cannot decide: nobody reviews their own access'
      using errcode = 'insufficient_privilege', detail = 'COMPLIANCE_OWN_ACCESS',
            hint = 'Another reviewer decides';
  end if;
  -- Rights before rows. An end changes rights, so it waits for everybody who acts on them.
  if decision = 'end' and v_item.api_key_id is null then
    perform bulwark_private.require_permission_to_change('user:read', v_review.organization_id);
  else
    perform bulwark_private.require_permission_to_act('user:read', v_review.organization_id);
  end if;
  perform from bulwark.access_reviews r where r.id = v_review.id and r.closed_at is null for share;
  if not found then
    raise exception 'Cannot decide: the review is closed'
      using errcode = 'PT409', detail = 'COMPLIANCE_REVIEW_CLOSED',
        hint = 'Start another review; members and keys can be ended outside of one';
  end if;
  select * into v_item from bulwark.access_review_items i where i.id = item_id for update;
  if v_item.decision is not null then
    raise exception 'Cannot decide: somebody has decided already'
      using errcode = 'PT409', detail = 'COMPLIANCE_ALREADY_DECIDED',
        hint = 'List the undecided ones with list_access_review';
  end if;
  v_access := case
    when v_item.api_key_id is not null then bulwark_private.access_of_key(v_item.api_key_id)
    else bulwark_private.access_of_member(v_item.user_id, v_review.organization_id)
  end;
  if v_access is null then
    v_outcome := 'gone';
  elsif decision = 'keep' then
    -- Access that has grown since the reviewer saw it is not kept unseen.
    if version is distinct from bulwark_private.access_version(v_access) then
      raise exception 'Cannot decide: the access is no longer as it was listed'
        using errcode = 'PT409', detail = 'COMPLIANCE_ACCESS_CHANGED',
              hint = 'List it again, and decide about that version';
    end if;
    v_outcome := 'kept';
  else
    -- With the reviewer's own rights and rank.
    if v_item.api_key_id is not null then
      perform bulwark.revoke_api_key(
        v_item.api_key_id, coalesce(btrim(note), 'Ended by an access review')
      );
    else
      perform bulwark.remove_member(v_review.organization_id, v_item.user_id);
    end if;
    v_outcome := 'ended';
  end if;
  update bulwark.access_review_items i
  set decision = decide_access.decision, outcome = v_outcome, note = btrim(decide_access.note),
      access = coalesce(v_access, i.access), decided_by = v_user, decided_at = clock_timestamp()
  where i.id = item_id
  returning * into v_item;
  return v_item;
end;
$$;
comment on function bulwark.decide_access(
  uuid, bulwark.access_review_decision, text, text
) is
  'Decides about one access, once and for good (a reviewer who holds user:read, about others). keep
   needs the version of list_access_review. end removes the member (user:delete, role:grant and a
   rank at least as high) or revokes the key (api_key:revoke) in the same transaction. outcome gone:
   it had ended before. Errors: COMPLIANCE_UNKNOWN_REVIEW, COMPLIANCE_OWN_ACCESS,
   COMPLIANCE_REVIEW_CLOSED, COMPLIANCE_ALREADY_DECIDED, COMPLIANCE_ACCESS_CHANGED,
   COMPLIANCE_INVALID_NOTE, COMPLIANCE_NULL_ARGUMENT, and those of remove_member and
   revoke_api_key.';

create function bulwark_private.access_review_totals(review_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'items', count(*),
    'undecided', count(*) filter (where i.decision is null),
    'kept', count(*) filter (where i.outcome = 'kept'),
    'ended', count(*) filter (where i.outcome = 'ended'),
    'gone', count(*) filter (where i.outcome = 'gone')
  )
  from bulwark.access_review_items i
  where i.review_id = access_review_totals.review_id;
$$;
comment on function bulwark_private.access_review_totals(uuid) is
  'How many items of a review are decided, and how.';

create function bulwark.close_access_review(review_id uuid)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because no client writes reviews
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_review bulwark.access_reviews := bulwark_private.find_access_review(review_id, true);
  v_totals jsonb;
begin
  perform bulwark_private.require_permission_to_act('role:grant', v_review.organization_id);
  update bulwark.access_reviews r
  set closed_at = clock_timestamp(), closed_by = bulwark.current_person()
  where r.id = v_review.id and r.closed_at is null
  returning * into v_review;
  if not found then
    raise exception 'Cannot close review: it is closed'
      using errcode = 'PT409', detail = 'COMPLIANCE_REVIEW_CLOSED',
        hint = 'Nothing is to be done: it keeps its totals';
  end if;
  v_totals := bulwark_private.access_review_totals(v_review.id) || jsonb_build_object(
    'name', v_review.name, 'due_at', v_review.due_at,
    'in_time', v_review.closed_at <= v_review.due_at,
    -- The evidence as it is now, so that a later change of it by the owner shows.
    'sha256', (
      select encode(
        sha256(convert_to(coalesce(jsonb_agg(to_jsonb(i) order by i.id), '[]')::text, 'utf8')),
        'hex'
      )
      from bulwark.access_review_items i where i.review_id = v_review.id
    )
  );
  perform bulwark_private.append_audit_entry(
    'compliance.review_closed', v_review.organization_id, 'bulwark.access_reviews',
    v_review.id::text, 'close', details => v_totals
  );
  return v_totals;
end;
$$;
comment on function bulwark.close_access_review(uuid) is
  'Closes a review for good (role:grant), and returns its totals: items, undecided, kept, ended,
   gone, in_time, and the SHA-256 of its items, which the entry compliance.review_closed has too.
   Errors: COMPLIANCE_UNKNOWN_REVIEW, COMPLIANCE_REVIEW_CLOSED, RBAC_PERMISSION_DENIED,
   MFA_REQUIRED.';

create function bulwark.remind_access_reviews()
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because no API role writes the log
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_days constant interval := make_interval(
    days => (bulwark_private.setting('compliance.review_reminder_days'))::integer
  );
  v_count integer := 0;
  v_review bulwark.access_reviews;
begin
  for v_review in
    select * from bulwark.access_reviews r
    where r.closed_at is null
      and r.due_at < now() + v_days
      and (r.reminded_at is null or r.reminded_at < now() - interval '23 hours 30 minutes')
    order by r.due_at
    limit 1000
    for update skip locked
  loop
    update bulwark.access_reviews r set reminded_at = now() where r.id = v_review.id;
    perform bulwark_private.append_audit_entry(
      'compliance.review_due', v_review.organization_id, 'bulwark.access_reviews',
      v_review.id::text, case when v_review.due_at < now() then 'overdue' else 'due' end,
      details => bulwark_private.access_review_totals(v_review.id) || jsonb_build_object(
        'name', v_review.name, 'due_at', v_review.due_at, 'reviewers', v_review.reviewers
      )
    );
    v_count := v_count + 1;
  end loop;
  -- Small steps, because a review has up to 10,000 rows. Their entries stay in the log.
  delete from bulwark.access_reviews r
  where r.id in (
    select o.id from bulwark.access_reviews o
    where o.closed_at < now() - make_interval(
      days => (bulwark_private.setting('compliance.review_days'))::integer
    )
    order by o.closed_at
    limit 5
    for update skip locked
  );
  return v_count;
end;
$$;
comment on function bulwark.remind_access_reviews() is
  'Reminds of open reviews, once a day from compliance.review_reminder_days before they are due
   until they are closed: an entry compliance.review_due each, which webhooks deliver. Deletes
   reviews compliance.review_days after they were closed. Returns how many reminders. For the
   scheduler (service role only).';

insert into bulwark_private.jobs (name, every, command) values
  ('compliance-reminders', '1 hour', 'select bulwark.remind_access_reviews()');
