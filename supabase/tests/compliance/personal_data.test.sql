-- Personal data: each of our columns that can hold a person's id, address or words about a person,
-- and how it is removed. Declare a new column here, or this test fails.
begin;
set local search_path = bulwark, public, extensions;
select plan(4);

create temporary view can_name_people as
  select c.oid::regclass as relation, a.attname::text as name
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.relkind in ('r', 'p')
    and bulwark_private.is_of_bulwark(c.oid)
    -- Partitions hold what their table does.
    and not c.relispartition
    and a.atttypid in (
      'uuid'::regtype, 'uuid[]'::regtype, 'text'::regtype, 'text[]'::regtype, 'jsonb'::regtype,
      'json'::regtype, 'inet'::regtype, 'cidr'::regtype, 'real'::regtype
    )
    -- A foreign key goes with the row it references; a row's own id and organization name nobody.
    and a.attname not in ('id', 'organization_id')
    and not exists (
      select from pg_constraint k
      where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any (k.conkey)
    );

-- The columns that name nobody: configuration, code, hashes and ciphertext. The others are listed
-- in bulwark_private.personal_columns, which says how they go: erased by erase_subject; retention,
-- after the days of a setting, or with a row that is; row, with its row, which is deleted with the
-- account or by hand; kept, see docs/audit.md.
create temporary table nobody (relation text, columns text, fate text, because text);
insert into nobody values
  ('audit_logs', 'event_type resource_type', 'nobody', 'the skeleton'),
  ('audit_restored_logs', 'event_type resource_type', 'nobody', 'the skeleton'),
  ('audit_archives', 'end_id holds_checked holds_checked_through record_id', 'nobody',
    'ids of entries and holds'),
  ('audit_archive_files', 'after cursor place key etag parquet_key parquet_etag', 'nobody',
    'places of files'),
  ('bulwark_private.audit_closings', 'below', 'nobody', 'a bound'),
  ('bulwark_private.setting_rules', 'accepts', 'nobody', 'the form of a setting'),
  ('webhook_subscriptions', 'pattern scope stem', 'nobody', 'types of events'),
  ('bulwark_private.webhook_destinations', 'ciphertext', 'nobody', 'ciphertext'),
  ('bulwark_private.webhook_secrets', 'ciphertext', 'nobody', 'ciphertext'),
  ('bulwark_private.data_keys', 'wrapped_key', 'nobody', 'ciphertext'),
  ('bulwark_private.key_encryption_keys', 'derivation salt check_value fault', 'nobody', 'keys'),
  ('bulwark_private.encrypted_columns', 'column_name primary_key organization_column index_column
    normalization', 'nobody', 'names of columns'),
  ('bulwark_private.audit_gaps', 'source reason', 'nobody', 'names of tables and SQLSTATEs'),
  ('bulwark_private.audit_watched_tables', 'options fingerprint shape catalogue', 'nobody', 'code'),
  ('bulwark_private.audit_key_acceptances', 'key_id', 'nobody', 'keys'),
  ('bulwark_private.audit_check_progress', 'reported', 'nobody', 'kinds of findings'),
  ('bulwark_private.audit_parents', 'value lookup', 'nobody', 'ids of rows, for one transaction'),
  ('bulwark_private.audit_prunings', 'record_id', 'nobody', 'ids of entries'),
  ('bulwark_private.audit_retention_progress', 'through_id', 'nobody', 'ids of entries'),
  ('bulwark_private.capabilities', 'name version', 'nobody', 'the list of what is installed'),
  ('audit_checkpoints', 'note sink delivery_error', 'nobody', 'sizes and hashes'),
  ('audit_keys', 'key_id name', 'nobody', 'keys'),
  ('audit_event_types', 'name description', 'nobody', 'a catalogue'),
  ('security_event_types', 'name description', 'nobody', 'a catalogue'),
  ('permissions', 'name description', 'nobody', 'a catalogue'),
  ('bulwark.security_rules', 'name counts action description', 'nobody', 'configuration'),
  ('rate_limit_rules', 'name description', 'nobody', 'configuration'),
  ('bulwark_private.alert_rules', 'name metric labels description', 'nobody', 'configuration'),
  ('bulwark_private.alert_states', 'raised_type', 'nobody', 'kinds of events'),
  ('bulwark_private.api_key_table_access', 'options derived made', 'nobody', 'code'),
  ('bulwark_private.known_privileges', 'object grants', 'nobody', 'code'),
  ('bulwark_private.metrics', 'name unit description', 'nobody', 'a catalogue'),
  ('bulwark_private.metric_series', 'labels', 'nobody',
    'the code of the host application names them'),
  ('bulwark_private.reserved_slugs', 'slug', 'nobody', 'configuration'),
  ('user_roles', 'source', 'nobody', 'who grants: the host or Bulwark'),
  ('bulwark_private.host_organizations', 'key_column key_type name_column slug_column helper',
    'nobody', 'configuration'),
  ('bulwark_private.host_members', 'organization_column organization_type member_column role_column
    roles otherwise', 'nobody', 'configuration'),
  ('bulwark_private.jobs', 'name seconds_setting command function_path', 'nobody',
    'configuration'),
  ('bulwark.settings', 'name value description', 'nobody', 'configuration'),
  ('mfa_secrets', 'secret', 'nobody', 'ciphertext'),
  ('bulwark_private.personal_tables', 'person_column organization_column', 'nobody',
    'names of columns');
delete from nobody where not tests.is_expected(relation);
create temporary view declared_columns as
  select to_regclass(d.relation) as relation, c.name, d.fate, d.because
  from nobody d, regexp_split_to_table(d.columns, '\s+') as c (name)
  union all
  -- References to accounts are found by themselves.
  select p.relation, p.name, p.fate, p.because
  from bulwark_private.personal_columns() p
  where not exists (
    select from pg_constraint k
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey)
    where k.conrelid = p.relation and k.contype = 'f' and a.attname = p.name
      and k.confrelid = 'auth.users'::regclass
  );

select is_empty(
  $$ select relation, name from can_name_people
     except select relation, name from declared_columns $$,
  'AUR-120: every column that can name a person says how that goes'
);
select is_empty(
  $$ select d.relation, d.name from declared_columns d
     where not exists (
       select from pg_attribute a
       where a.attrelid = d.relation and a.attname = d.name and not a.attisdropped
     ) or (
       select count(*) from declared_columns o where (o.relation, o.name) = (d.relation, d.name)
     ) > 1 $$,
  'AUR-121: none is declared that does not exist, and none twice'
);
select is_empty(
  $$ select d.because from declared_columns d
     where d.fate not in ('erased', 'retention', 'row', 'kept', 'nobody')
       or d.fate = 'retention'
         and not exists (select from bulwark.settings s where s.name = d.because) $$,
  'AUR-122: and what goes by age has a setting that says when'
);
select is_empty(
  $$ select k.conrelid::regclass, k.conname from pg_constraint k
     where k.contype = 'f' and k.confrelid in ('auth.users'::regclass, 'auth.sessions'::regclass)
       and bulwark_private.is_of_bulwark(k.conrelid) and k.confdeltype not in ('c', 'n') $$,
  'AUR-123: a reference to an account goes with it, or is emptied'
);

select * from finish();
rollback;
