-- Personal data: every column of ours that can name a person, and the tables of the host that it
-- declares. One list for the test of erasure and for the export of what is known of a person.
-- Protects against a column that nobody thought of: a test fails for a new one that is not listed.
-- No function here is SECURITY DEFINER.

create function bulwark_private.personal_columns()
  returns table (
    relation regclass, name text, names text, fate text, because text, withheld boolean
  )
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select c.oid::regclass, n.name, l.names, l.fate, replace(l.because, ': ', '.'), l.withheld
  from (values
    ('audit_logs', 'actor_id', 'actor', 'erased', 'the payload of an entry', false),
    ('audit_logs', 'session_id correlation_id parent_id salt removed_by resource_id action
      database_user ip user_agent before after details', 'words', 'erased', 'the payload', false),
    ('audit_restored_logs', 'actor_id', 'actor', 'erased', 'the whole row', true),
    ('audit_restored_logs', 'session_id correlation_id parent_id salt removed_by resource_id action
      database_user ip user_agent before after details', 'words', 'erased', 'the row', true),
    ('invitations', 'email', 'address', 'erased', 'the whole row', false),
    ('invitation_accounts', 'user_id', 'person', 'erased', 'with the invitation', false),
    ('departures', 'user_id', 'person', 'kept', 'while an invitation of before could be valid',
      false),
    ('audit_legal_holds', 'subject_id', 'person', 'kept', 'why evidence was kept', true),
    ('audit_legal_holds', 'placed_by released_by', 'actor', 'kept', 'why evidence was kept', true),
    ('audit_legal_holds', 'resource_type resource_id reason', 'words', 'kept', 'the same', true),
    ('shredded_organizations', 'shredded_by', 'actor', 'kept', 'who destroyed the keys', false),
    ('shredded_organizations', 'slug', 'part', 'kept', 'who destroyed the keys', false),
    ('audit_exports', 'caller', 'person', 'kept', 'for a day: how far an export is', false),
    ('rate_limit_networks', 'created_by', 'actor', 'kept', 'until the list is changed', true),
    ('rate_limit_networks', 'network reason', 'words', 'kept', 'until the list is changed', true),
    ('webhook_endpoints', 'created_by', 'actor', 'kept', 'while the endpoint is', false),
    ('webhook_endpoints', 'name origin disabled_reason', 'part', 'row', 'of the organization',
      false),
    ('security_events', 'user_id', 'person', 'retention', 'security.resolved_retention_days', true),
    ('security_events', 'assigned_to resolved_by', 'actor', 'retention',
      'security.resolved_retention_days', true),
    ('security_events', 'subject details resolution_note', 'words', 'retention',
      'security.resolved_retention_days', true),
    ('deferred_security_events', 'user_id', 'person', 'retention',
      'security.resolved_retention_days', true),
    ('deferred_security_events', 'event_type subject details', 'words', 'retention',
      'security.resolved_retention_days', true),
    ('webhook_attempts', 'worker response', 'words', 'retention', 'webhooks: retention_days', true),
    ('webhook_deliveries', 'endpoint_id event_id event_type ordering_key claimed_by attempt_id',
      'words', 'retention', 'webhooks: retention_days', true),
    ('webhook_payloads', 'data', 'words', 'retention', 'webhooks: retention_days', true),
    ('rate_limit_blocks', 'user_id', 'person', 'retention', 'rate_limits.violation_days', false),
    ('rate_limit_blocks', 'lifted_by', 'actor', 'retention', 'rate_limits.violation_days', false),
    ('rate_limit_blocks', 'kind identifier rule api_key_id', 'part', 'retention',
      'rate_limits.violation_days', false),
    ('rate_limit_violations', 'user_id', 'person', 'retention', 'rate_limits.violation_days',
      false),
    ('rate_limit_violations', 'rule kind identifier api_key_id block_id', 'part', 'retention',
      'rate_limits.violation_days', false),
    ('known_networks', 'owner', 'person', 'retention', 'rate_limits.network_days', false),
    ('known_networks', 'network', 'part', 'retention', 'rate_limits.network_days', false),
    ('sign_in_places', 'user_id', 'person', 'retention', 'rate_limits.network_days', false),
    ('sign_in_places', 'latitude longitude', 'part', 'retention', 'rate_limits.network_days',
      false),
    ('mfa_usage_log', 'session_id event factor_id', 'part', 'retention', 'mfa.usage_log_days',
      false),
    ('mfa_resets', 'reason', 'part', 'retention', 'mfa.reset_days', false),
    ('mfa_secrets', 'name begun_in', 'part', 'row', 'of the account', false),
    ('mfa_attempts', 'session_id purpose', 'part', 'row', 'of the account', false),
    ('mfa_sessions', 'method', 'part', 'row', 'of the account', false),
    ('mfa_trusted_devices', 'name', 'part', 'row', 'of the account', false),
    ('api_keys', 'name environment first_characters scopes revoked_because', 'part', 'row',
      'of the account', false),
    ('organizations', 'name slug', 'part', 'row', 'of the organization, which names itself', false),
    ('organization_keys', 'key', 'part', 'row', 'of the organization', false),
    ('roles', 'name description', 'part', 'row', 'of the organization', false),
    ('webhook_turns', 'account_id', 'actor', 'row', 'of the endpoint', false),
    ('webhook_turns', 'ordering_key', 'part', 'row', 'of the endpoint', false),
    ('rate_limit_overrides', 'api_key_id', 'part', 'row', 'of the organization', false),
    ('access_reviews', 'started_by closed_by', 'actor', 'retention', 'compliance.review_days',
      false),
    ('access_reviews', 'name reviewers', 'words', 'retention', 'compliance.review_days', false),
    ('access_review_items', 'user_id', 'person', 'retention', 'compliance.review_days', false),
    ('access_review_items', 'decided_by', 'actor', 'retention', 'compliance.review_days', false),
    ('access_review_items', 'api_key_id access note', 'part', 'retention',
      'compliance.review_days', false),
    ('reencryptions', 'column_name place', 'part', 'row', 'of the data key: where work stopped',
      false),
    ('reencryption_failures', 'row_key fault', 'part', 'row', 'of the data key', false)
  ) as l (relation, columns, names, fate, because, withheld)
  join pg_catalog.pg_class c
    on c.relname = l.relation and c.relkind in ('r', 'p')
    and c.relnamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
  cross join lateral regexp_split_to_table(l.columns, '\s+') as n (name)
  union all
  -- A row about an account goes with it. Of those who acted on one, the column is emptied.
  select k.conrelid::regclass, a.attname,
    case when k.confdeltype = 'c' and a.attname not in ('invited_by', 'requested_by')
      then 'person' else 'actor' end,
    'row', 'of the account', false
  from pg_catalog.pg_constraint k
  join pg_catalog.pg_class c on c.oid = k.conrelid and not c.relispartition
  join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
  where k.contype = 'f'
    and k.confrelid = 'auth.users'::regclass
    and cardinality(k.conkey) = 1
    and bulwark_private.is_of_bulwark(k.conrelid);
$$;
comment on function bulwark_private.personal_columns() is
  'The columns of ours that can name a person. names: person (the row is about them), actor (they
   acted on it), address, words (text or JSON that may mention them), part (told with the row).
   fate: erased (by erase_subject), retention (after the days of the setting because), row (with its
   row), kept. withheld: not told to the person, but to those who may erase them.';

create table bulwark_private.personal_tables (
  relation regclass primary key,
  person_column text not null,
  organization_column text
);
comment on table bulwark_private.personal_tables is
  'Tables of the host with rows about people, and the column that says about whom.';
alter table bulwark_private.personal_tables enable row level security;
select bulwark.enable_audit(
  'bulwark_private.personal_tables',
  event_types => '{config.changed,config.changed,config.changed}'
);

create function bulwark.declare_personal_data(
  target regclass,
  person_column text,
  organization_column text default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_type regtype;
begin
  if bulwark_private.is_of_bulwark(target) or not exists (
    select from pg_catalog.pg_class c where c.oid = target and c.relkind in ('r', 'p')
  ) then
    raise exception 'Cannot declare personal data: it is no table of the application'
      using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_TABLE';
  end if;
  select a.atttypid::regtype into v_type
  from pg_catalog.pg_attribute a
  where a.attrelid = target and a.attname = person_column and a.attnum > 0 and not a.attisdropped;
  if v_type is null or v_type::text not in ('uuid', 'text', 'character varying')
      and v_type::text !~ '(^|\.)citext$'
    or organization_column is not null and not exists (
      select from pg_catalog.pg_attribute a
      where a.attrelid = target and a.attname = organization_column
        and a.attnum > 0 and not a.attisdropped
    ) then
    raise exception 'Cannot declare personal data: a column is missing or holds no id or address'
      using errcode = 'undefined_column', detail = 'COMPLIANCE_INVALID_COLUMN',
            hint = 'The person is a uuid of auth.users, or an e-mail address as text';
  end if;
  insert into bulwark_private.personal_tables as t (relation, person_column, organization_column)
  values (target, declare_personal_data.person_column, declare_personal_data.organization_column)
  on conflict on constraint personal_tables_pkey do update
    set person_column = excluded.person_column, organization_column = excluded.organization_column;
end;
$$;
comment on function bulwark.declare_personal_data(regclass, text, text) is
  'Says that a table of the application has rows about people: person_column holds the id of an
   account (uuid) or an e-mail address (text), organization_column the key of the organization. They
   are then in the exports of export_subject. For the owner. Errors: COMPLIANCE_INVALID_TABLE,
   COMPLIANCE_INVALID_COLUMN.';
