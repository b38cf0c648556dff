-- Audited tables: which tables the sealer watches, with the fingerprint of their last known good
-- state.
-- Protects against triggers that are dropped, replaced, or switched off and on again: the sealer
-- (audit_sealing) compares fingerprints (audit_fingerprints) each second and reports differences.
-- No function here is SECURITY DEFINER.

create table bulwark_private.audit_watched_tables (
  relation regclass primary key,
  captures boolean not null default true,
  options jsonb not null default '{}',
  fingerprint text not null,
  shape text,
  catalogue text,
  enabled_at timestamptz not null default now()
);
comment on table bulwark_private.audit_watched_tables is
  'The tables that the sealer watches: those audited by enable_audit and, with captures false, the
   audit log''s own and those of the auth schema.';
comment on column bulwark_private.audit_watched_tables.options is
  'The arguments of enable_audit; for audit_logs the names of the functions and views that protect
   the log.';
comment on column bulwark_private.audit_watched_tables.fingerprint is
  'State of the table''s triggers and their functions. A transaction that touches one of them
   changes it, even if it only switches a trigger off and on again.';
comment on column bulwark_private.audit_watched_tables.shape is
  'The columns and key that the table''s row functions were made for (audit_shape).';
comment on column bulwark_private.audit_watched_tables.catalogue is
  'Only for audit_logs: the hash of the catalogue when the sealer last compared all fingerprints
   (audit_catalogue).';
alter table bulwark_private.audit_watched_tables enable row level security;
