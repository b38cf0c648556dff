-- Access reviews: campaigns in which named reviewers decide about each member and API key.
-- Protects against a review of oneself, evidence that is changed afterwards, and a decision about
-- access that is no longer as the reviewer saw it.
-- No function here is SECURITY DEFINER.

create type bulwark.access_review_decision as enum ('keep', 'end');
comment on type bulwark.access_review_decision is 'Whether access stays or ends.';
create type bulwark.access_review_outcome as enum ('kept', 'ended', 'gone');
comment on type bulwark.access_review_outcome is
  'The result for the reviewed access: kept, ended by the review, or gone before the decision.';

create table bulwark.access_reviews (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  name text not null,
  reviewers uuid[] not null,
  due_at timestamptz not null,
  started_by uuid,
  started_at timestamptz not null default clock_timestamp(),
  reminded_at timestamptz,
  closed_by uuid,
  closed_at timestamptz,
  constraint access_reviews_name_is_printable
    check (name !~ '[[:cntrl:]]' and length(btrim(name)) between 1 and 120),
  constraint access_reviews_reviewers_are_some
    check (
      cardinality(reviewers) >= 1 and cardinality(reviewers) <= 50
      and array_position(reviewers, null) is null
    ),
  constraint access_reviews_is_due_after_start check (isfinite(due_at) and due_at > started_at)
);
comment on table bulwark.access_reviews is
  'Campaigns that review the access of an organization. Without foreign keys to accounts: who
   reviewed is evidence, which outlives them.';
create index access_reviews_organization_id_idx
  on bulwark.access_reviews (organization_id, started_at);
create index access_reviews_due_at_idx on bulwark.access_reviews (due_at) where closed_at is null;

create table bulwark.access_review_items (
  id uuid primary key default gen_random_uuid(),
  review_id uuid not null references bulwark.access_reviews (id) on delete cascade,
  organization_id uuid not null,
  user_id uuid not null,
  api_key_id uuid,
  access jsonb not null,
  decision bulwark.access_review_decision,
  outcome bulwark.access_review_outcome,
  note text,
  decided_by uuid,
  decided_at timestamptz,
  constraint access_review_items_note_length check (length(btrim(note)) between 1 and 500),
  constraint access_review_items_decided_as_a_whole
    check (num_nonnulls(decision, outcome, decided_by, decided_at) in (0, 4)),
  constraint access_review_items_nobody_decides_about_themselves
    check (decided_by is distinct from user_id)
);
comment on table bulwark.access_review_items is
  'An item of a campaign: a member, or an API key of the member user_id. access is what they could
   do at the start and, once decided, at the decision.';
create unique index access_review_items_review_id_idx
  on bulwark.access_review_items (review_id, user_id, api_key_id) nulls not distinct;
create index access_review_items_user_id_idx on bulwark.access_review_items (user_id);

alter table bulwark.access_reviews enable row level security;
alter table bulwark.access_review_items enable row level security;

create policy "Members read access reviews of organizations where they may"
  on bulwark.access_reviews for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('compliance:read'))));
create policy "Members read what is reviewed in organizations where they may"
  on bulwark.access_review_items for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('compliance:read'))));

insert into bulwark.settings (name, value, description) values
  ('compliance.review_reminder_days', '7',
    'How many days before an access review is due the daily reminders begin'),
  ('compliance.reviews', '200',
    'How many access reviews an organization may have, closed ones too'),
  ('compliance.review_days', '2557', 'How long a closed access review is kept');
insert into bulwark_private.setting_rules (name, accepts) values
  ('compliance.review_reminder_days', '{"type": "integer", "minimum": 1, "maximum": 90}'),
  ('compliance.reviews', '{"type": "integer", "minimum": 1, "maximum": 10000}');
insert into bulwark.audit_event_types (name, severity, description) values
  ('compliance.review_started', 'info', 'An access review was started'),
  ('compliance.review_due', 'warning', 'An access review is due or overdue'),
  ('compliance.review_closed', 'info', 'An access review was closed');

create function bulwark_private.access_of_member(user_id uuid, organization_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'        -- times are a part of the version
as $$
  select jsonb_agg(
    jsonb_build_object(
      'role', r.name, 'level', r.level, 'source', g.source, 'starts_at', g.starts_at,
      'expires_at', nullif(g.held_until, 'infinity')
    )
    order by r.level desc, r.name, g.source
  )
  from bulwark_private.unexpired_grants g
  join bulwark.roles r on r.id = g.role_id
  where g.user_id = access_of_member.user_id
    and g.organization_id = access_of_member.organization_id;
$$;
comment on function bulwark_private.access_of_member(uuid, uuid) is
  'The roles of a member that have not expired; null: no member.';

create function bulwark_private.access_of_key(key_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'        -- times are a part of the version
as $$
  select jsonb_build_object(
    'name', k.name, 'first_characters', k.first_characters, 'scopes', k.scopes,
    'networks', k.networks, 'created_at', k.created_at, 'expires_at', k.expires_at
  )
  from bulwark.api_keys k
  where k.id = key_id and k.revoked_at is null and k.expires_at > now();
$$;
comment on function bulwark_private.access_of_key(uuid) is
  'The most that an API key in force could do; null: it is not in force.';

create function bulwark_private.access_version(access jsonb)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$ select left(encode(sha256(convert_to(access::text, 'utf8')), 'hex'), 16); $$;
comment on function bulwark_private.access_version(jsonb) is
  'The version of an access, by which a decision says which one it is about.';

create trigger access_reviews_keep_columns
  before update on bulwark.access_reviews
  for each row execute function bulwark.keep_columns(
    'id', 'organization_id', 'name', 'reviewers', 'due_at', 'started_by', 'started_at'
  );
create trigger access_reviews_stay_closed
  before update on bulwark.access_reviews
  for each row when (old.closed_at is not null)
  execute function bulwark_private.refuse_change();
create trigger access_review_items_keep_columns
  before update on bulwark.access_review_items
  for each row execute function bulwark.keep_columns(
    'id', 'review_id', 'organization_id', 'user_id', 'api_key_id'
  );
create trigger access_review_items_stay_decided
  before update on bulwark.access_review_items
  for each row when (old.decision is not null)
  execute function bulwark_private.refuse_change();
-- Enabled always: session_replication_role skips ordinary triggers.
alter table bulwark.access_reviews enable always trigger access_reviews_keep_columns;
alter table bulwark.access_reviews enable always trigger access_reviews_stay_closed;
alter table bulwark.access_review_items enable always trigger access_review_items_keep_columns;
alter table bulwark.access_review_items enable always trigger access_review_items_stay_decided;

select bulwark.enable_audit(
  'bulwark.access_reviews', organization_column => 'organization_id', ignore => '{reminded_at}'
);
select bulwark.enable_audit(
  'bulwark.access_review_items', organization_column => 'organization_id'
);
