-- Audit guards: which tables are watched, and how what protects them looked when it was last right.
-- Protects against a guard that is taken off, switched off and on again, or replaced: the sealer
-- (audit_sealing) compares the fingerprint (audit_fingerprints) each second and reports what
-- differs.
-- No function here is SECURITY DEFINER.

create table bulwark_private.audit_guards (
  relation regclass primary key,
  captures boolean not null default true,
  options jsonb not null default '{}',
  fingerprint text not null,
  shape text,
  catalogue text,
  enabled_at timestamptz not null default now()
);
comment on table bulwark_private.audit_guards is
  'The tables whose triggers the sealer watches: those that enable_audit guards and (captures is
   false) the audit log''s own.';
comment on column bulwark_private.audit_guards.options is
  'How enable_audit was called; of audit_logs the names of the code that its promises hang on.';
comment on column bulwark_private.audit_guards.fingerprint is
  'What the table''s triggers and their functions looked like; a transaction that touches one, even
   to switch it off and on again, leaves another fingerprint.';
comment on column bulwark_private.audit_guards.shape is
  'What the table''s row functions were made for (audit_shape).';
comment on column bulwark_private.audit_guards.catalogue is
  'Of audit_logs: the catalogue as the sealer last compared all guards with it (audit_catalogue).';
alter table bulwark_private.audit_guards enable row level security;
