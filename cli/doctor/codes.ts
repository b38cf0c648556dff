/** `error`: a protection is missing. `warning`: one may be soon, or is slow. `note`: to be known. */
export type Severity = "error" | "warning" | "note";

/** How a finding is judged and described. */
export interface Entry {
  severity: Severity;
  /** A step of a deployment: a note on a local database, unless `--strict` is given. */
  deployment?: true;
  meaning: string;
  action: string;
}

/** All findings of `bulwark doctor`. docs/doctor.md lists the same; a test compares them. */
export const codes = {
  ADDRESS_HEADER_UNSET: {
    severity: "warning",
    deployment: true,
    meaning:
      "No header with the client's address is trusted: all who are not signed in share limits",
    action: "Set rate_limits.address_header and rate_limits.address_hops in bulwark.settings",
  },
  ALERT_WITHOUT_RECEIVER: {
    severity: "warning",
    deployment: true,
    meaning: "Serious security events of the installation are sent to nobody",
    action: "Create a webhook endpoint of the installation with the pattern security.*",
  },
  API_KEY_ROLE_CHANGED: {
    severity: "error",
    meaning: "The role api_key has rights of its own, or authenticator cannot take it",
    action: "Grant api_key to authenticator, and revoke its memberships and attributes",
  },
  API_KEY_TABLE_PROBLEM: {
    severity: "error",
    meaning: "A table is open to API keys in a way that nobody admitted",
    action: "See select * from bulwark.api_key_table_problems(), and admit or close the table",
  },
  AUDIT_GAP: {
    severity: "error",
    meaning: "Events of Supabase Auth could not be recorded",
    action: "See bulwark_private.audit_gaps for the time and the SQLSTATE, and mend the cause",
  },
  AUDIT_PARTITION_MISSING: {
    severity: "error",
    meaning: "This month or the next has no partition of the audit log",
    action: "See why the job audit-partitions does not run, and run it: " +
      "select bulwark_private.keep_audit_partitions(), as postgres",
  },
  AUTH_TRIGGER_MISSING: {
    severity: "error",
    meaning: "A trigger of Bulwark on the auth schema is missing or disabled",
    action: "Run select bulwark_private.mend_restore(), or the watch functions, as postgres",
  },
  CHECK_FAILED: {
    severity: "error",
    meaning: "A check could not be carried out",
    action: "See the SQLSTATE: a lock, a timeout, or an object that is missing or changed",
  },
  CHECKPOINT_LATE: {
    severity: "error",
    deployment: true,
    meaning: "The newest seals of the audit log are not signed",
    action: "See the log of the function bulwark-audit and the answers in net._http_response",
  },
  CHECKPOINT_NEVER: {
    severity: "warning",
    deployment: true,
    meaning: "No checkpoint of the audit log was ever signed",
    action: "Set BULWARK_AUDIT_SIGNING_KEYS, deploy bulwark-audit and schedule the jobs",
  },
  CHECKPOINT_UNDELIVERED: {
    severity: "warning",
    deployment: true,
    meaning: "Checkpoints are not stored outside of the database",
    action: "Set BULWARK_AUDIT_SINK; delivery_error in bulwark.audit_checkpoints says what failed",
  },
  EXPOSED_SCHEMAS_UNKNOWN: {
    severity: "note",
    meaning: "The database does not know which schemas the Data API exposes",
    action: "See Data API in the dashboard: bulwark is exposed, bulwark_private is not",
  },
  EXTENSION_MISSING: {
    severity: "error",
    deployment: true,
    meaning: "An extension that scheduled work or tokens need is missing",
    action: "Enable it under Database, Extensions; then run select bulwark.schedule_jobs()",
  },
  FILE_EDITED: {
    severity: "note",
    meaning: "A file of Bulwark differs from the installed one",
    action: "Keep the change if you made it; bulwark upgrade shows it beside the new version",
  },
  FILE_MISSING: {
    severity: "warning",
    meaning: "A file of Bulwark is missing in the project",
    action: "Restore it from version control, or run bulwark init again",
  },
  FUNCTION_SECRET_MISSING: {
    severity: "warning",
    deployment: true,
    meaning: "A secret of the functions is not in supabase/functions/.env",
    action: "Add it, as docs/deployment.md describes; its function answers 503 without",
  },
  FUNCTION_SECRET_WEAK: {
    severity: "error",
    meaning: "A secret of the functions is too short or is an example",
    action: "Generate another one: openssl rand -hex 32",
  },
  FUNCTION_SECRETS_UNKNOWN: {
    severity: "note",
    meaning: "The environment of deployed functions cannot be seen from the database",
    action: "Compare supabase secrets list with the table in docs/deployment.md",
  },
  HOOK_FUNCTION_MISSING: {
    severity: "error",
    meaning: "A setting names a hook of the project that does not exist: requests or sign-ins fail",
    action: "Create the function, or set the setting to null",
  },
  HOOK_NOT_EXECUTABLE: {
    severity: "error",
    meaning: "Supabase Auth may not execute a hook: sign-ins fail",
    action: "Grant execute on the function, and usage on its schema, to supabase_auth_admin",
  },
  JOB_CHANGED: {
    severity: "warning",
    meaning: "A job is scheduled with another command, schedule or database than intended",
    action: "Run select bulwark.schedule_jobs() as postgres",
  },
  JOB_DISABLED: {
    severity: "error",
    meaning: "A job is scheduled, but inactive",
    action: "Run select bulwark.schedule_jobs() as postgres, and cron.alter_job(…, active => true)",
  },
  JOB_FAILING: {
    severity: "error",
    meaning: "The last run of a job failed",
    action: "See return_message in cron.job_run_details",
  },
  JOB_LOG_OFF: {
    severity: "note",
    meaning: "pg_cron keeps no log of its runs, so nobody can tell whether jobs run",
    action: "Set cron.log_run to on",
  },
  JOB_NOT_RUNNING: {
    severity: "error",
    meaning: "A job is scheduled, but has not been started for three of its intervals",
    action: "Check that pg_cron works in this database: cron.database_name and its workers",
  },
  JOB_NOT_SCHEDULED: {
    severity: "error",
    meaning: "A job of Bulwark is not scheduled",
    action: "Run select bulwark.schedule_jobs() as postgres",
  },
  JOB_UNKNOWN: {
    severity: "warning",
    meaning: "A job is named like one of Bulwark's and is none of them",
    action: "Run select bulwark.schedule_jobs() as the role that scheduled it, or rename it",
  },
  KEY_LOST: {
    severity: "note",
    meaning: "A key-encryption key was declared lost: its values cannot be read",
    action:
      "See bulwark.reencryption_failures; if it turns up, select bulwark.declare_key_found(…)",
  },
  KEY_UNAVAILABLE: {
    severity: "error",
    meaning: "A function lacks a key-encryption key of this database, or has another under its id",
    action: "Set it in BULWARK_ENCRYPTION_KEYS; if it is lost, see docs/encryption.md",
  },
  LOG_SHOWS_KEYS: {
    severity: "error",
    deployment: true,
    meaning: "The server may log the parameters of requests, and with them API keys and tokens",
    action: "Set it to 0 or off for the role: alter role … set …; then reconnect",
  },
  MFA_TABLE_UNCOVERED: {
    severity: "error",
    meaning: "There is a way around the second factor that a table requires",
    action: "See select * from bulwark.mfa_uncovered_tables()",
  },
  POLICY_ASKS_PER_ROW: {
    severity: "warning",
    meaning: "A policy asks a function of Bulwark for each row that is read",
    action:
      "Write (select …), or organization_id = any (array(select bulwark.organizations_with(…)))",
  },
  PRIVATE_SCHEMA_EXPOSED: {
    severity: "error",
    meaning: "The Data API exposes bulwark_private",
    action: "Remove it from the exposed schemas",
  },
  PRIVILEGE_OPEN: {
    severity: "error",
    meaning: "A role of the API has a privilege on an object of Bulwark that no migration granted",
    action: "Run select bulwark.close_privileges() as postgres",
  },
  PROTECTION_TOUCHED: {
    severity: "error",
    meaning: "A trigger, function or table that protects the audit log is not as it was accepted",
    action: "Find out who changed it; accept it with select bulwark.refresh_audit_fingerprints()",
  },
  REQUEST_HOOK_NOT_INSTALLED: {
    severity: "warning",
    deployment: true,
    meaning: "The Data API does not call Bulwark: no limits, no blocks, no API keys in headers",
    action: "Run select bulwark.install_request_hook() as postgres",
  },
  RLS_OFF: {
    severity: "error",
    meaning: "Row-level security of a table of Bulwark is off",
    action: "Run alter table … enable row level security",
  },
  SCHEMA_NOT_EXPOSED: {
    severity: "error",
    meaning: "The Data API does not expose the schema bulwark",
    action: "Add bulwark to the exposed schemas: api.schemas in config.toml, Data API when hosted",
  },
  SEAL_LATE: {
    severity: "error",
    deployment: true,
    meaning: "Entries of the audit log wait for their seal",
    action: "Check the job bulwark-audit-seal; select bulwark.seal_audit_log() says what fails",
  },
  TABLE_NOT_AUDITED: {
    severity: "note",
    meaning: "Changes of a table with an organization's rows are not recorded",
    action: "Run select bulwark.enable_audit(…) in a migration, if they should be",
  },
  TABLE_WITHOUT_RLS: {
    severity: "error",
    meaning: "A table with an organization's rows is open to clients without row-level security",
    action: "Run alter table … enable row level security, and add policies",
  },
  TENANT_PROBLEM: {
    severity: "error",
    meaning: "Organizations or members that the project's own tables hold are not followed",
    action: "See select * from bulwark_private.host_organization_problems()",
  },
  TIMELINE_UNSETTLED: {
    severity: "warning",
    meaning: "After a restore or an upgrade the audit log has not been sealed yet",
    action: "Run select bulwark.seal_audit_log() as postgres; see docs/restores.md",
  },
  TOKEN_HOOK_NOT_CHAINED: {
    severity: "note",
    meaning: "Supabase Auth calls another access token hook than Bulwark's",
    action: "Name it in rbac.next_access_token_hook, and choose bulwark.custom_access_token_hook",
  },
  TOKEN_HOOK_OFF: {
    severity: "note",
    meaning: "Tokens carry no claims for display, since config.toml enables no hook",
    action: "Enable auth.hook.custom_access_token if your frontend reads these claims",
  },
  TOKEN_HOOK_UNKNOWN: {
    severity: "note",
    meaning: "The database does not know which hook Supabase Auth calls",
    action: "See Authentication, Hooks in the dashboard",
  },
  TRIGGER_DISABLED: {
    severity: "error",
    meaning: "A trigger of Bulwark is disabled, or skipped under session_replication_role",
    action: "Run alter table … enable trigger …, or enable always for triggers of the audit log",
  },
  VAULT_SECRET_MISSING: {
    severity: "error",
    deployment: true,
    meaning: "Vault lacks a secret that scheduled calls of functions need",
    action: "Run select vault.create_secret('<value>', '<name>')",
  },
  VERSION_MISMATCH: {
    severity: "warning",
    meaning: "The database has another version of Bulwark than this command",
    action: "Use the command of the same version, or run bulwark upgrade and supabase db push",
  },
} as const satisfies Record<string, Entry>;

/** The stable name of a finding. */
export type Code = keyof typeof codes;
