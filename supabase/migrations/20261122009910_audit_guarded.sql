-- Audit guarded: what protects the log, as all migrations left it. It stays the last of them.
-- Protects against a change after the migrations that passes for one of theirs.
-- No function here is SECURITY DEFINER.

select private.refresh_audit_guards();
