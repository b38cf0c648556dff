import type { BulwarkCode } from "./codes.ts";

/** An English text for each code. */
export const texts: Readonly<Record<BulwarkCode, string>> = {
  ACCOUNT_ANONYMOUS:
    "An anonymous account cannot sign in again, so it cannot have a second factor, create an organization or be a member of one.",
  ACCOUNT_SUSPENDED: "The account is banned or deleted; its sessions are not valid.",
  COLUMN_IS_FIXED: "The column cannot be changed, such as a row's organization_id.",
  COLUMN_IS_UNKNOWN: "bulwark.keep_columns was given a column that the table does not have.",
  SCHEDULER_NOT_CONFIGURED: "Vault lacks bulwark_project_url or bulwark_scheduler_secret.",
  RESTORE_PROJECT_IN_USE:
    "bulwark.empty_for_restore was called in a project that has users, organizations or keys of the log.",
  SESSION_NOT_FOUND: "The caller's account has no live session with this id.",
  SESSION_ENDED:
    "The token's session was signed out, has expired, belongs to another user, or is missing: sign in again.",
  SETTING_INVALID_VALUE: "The setting does not accept the value; the hint says which it accepts.",
  SETTING_IS_OPERATORS: "Only the owner of the database changes this setting.",
  TOKEN_SUBJECT_INVALID:
    "The token's subject is no UUID, so it is no account of Supabase Auth (third-party auth).",
  UNKNOWN_SETTING: "There is no setting of this name; list_settings() lists all.",
  RBAC_NOT_AUTHENTICATED: "The request has no user.",
  RBAC_NULL_ARGUMENT: "A required user, organization, role, permission or list is null.",
  RBAC_UNKNOWN_PERMISSION:
    "The permission is not in the catalogue: a typo, or one that the host application has not registered.",
  RBAC_BATCH_TOO_LARGE:
    "More than 100 permissions in one check, more than 200 permissions or 20 inherited roles in one role, not 1 to 20 roles of a member, more than 1,000 ids, or a nested list.",
  RBAC_TOO_MANY_ORGANIZATIONS:
    "The account has created as many organizations as allowed without org:create.",
  RBAC_PERMISSION_DENIED: "The caller lacks a required permission there.",
  RBAC_USER_NOT_VISIBLE: "The caller may not see this user there, or the account does not exist.",
  RBAC_UNKNOWN_USER:
    "No such account, or it is banned or deleted. Only those who may name anybody are told.",
  RBAC_UNKNOWN_ORGANIZATION:
    "No such organization, or the confirming slug is another one's. Only those who may see all are told.",
  RBAC_INVALID_NAME:
    "A name is empty, too long, or has characters that do not print or that reverse what follows.",
  RBAC_INVALID_SLUG: "A slug has 3 to 63 of a-z, 0-9 and inner hyphens, and is no punycode.",
  RBAC_SLUG_RESERVED: "The slug is one that an application needs for its own paths.",
  RBAC_SLUG_TAKEN: "Another organization has the slug.",
  RBAC_UNKNOWN_ROLE:
    "No system role and no role of this organization has the name; in a direct write, the role is another organization's.",
  RBAC_ROLE_NOT_ASSIGNABLE:
    "super_admin is system-wide: it is not granted inside an organization, not inherited and not invited.",
  RBAC_ROLE_OUTRANKS_GRANTER: "The role holds or ranks more than the caller's own.",
  RBAC_GRANT_OUTLIVES_GRANTER: "The grant would last longer than the caller's own rights.",
  RBAC_NOT_A_MEMBER:
    "Only members are granted roles, removed, and have their factors reset; everybody else is invited. One leaves only where one is a member.",
  RBAC_TOO_MANY_INVITATIONS:
    "rbac.pending_invitations are pending, or four times as many were made within a day, or rbac.invitations_per_address for the address.",
  RBAC_INVALID_EXPIRY:
    "An end in the past, before the start, infinite, or beyond 90 days for an invitation; also for the role of an invitation.",
  RBAC_GRANT_NOT_FOUND: "The user does not hold the role.",
  RBAC_LAST_ADMINISTRATOR:
    "The organization would be left without an administrator whose role neither waits nor expires.",
  RBAC_ROLE_EXISTS: "A system role or another role of the organization has the name.",
  RBAC_ROLE_IS_SYSTEM: "System roles are changed by migrations only.",
  RBAC_ROLE_CYCLE: "The role would inherit itself.",
  RBAC_ROLE_IN_USE: "Somebody holds the role, or a role inherits it.",
  RBAC_TOO_MANY_ROLES: "An organization has at most 100 roles of its own.",
  RBAC_PERMISSION_NOT_HELD:
    "The role would contain a permission that its editor does not hold permanently.",
  RBAC_INVALID_EMAIL: "That is not an e-mail address.",
  RBAC_EMAIL_NOT_CONFIRMED:
    "The caller's own address is not confirmed, or only asserted by a single sign-on provider.",
  RBAC_ORGANIZATIONS_ARE_HOSTS:
    "Organizations follow a table of yours (bulwark.use_organizations): write that table.",
  RBAC_MEMBERS_ARE_HOSTS:
    "Members follow a table of yours (bulwark.use_members), so nobody is invited here: write that table.",
  RBAC_GRANT_IS_HOSTS: "The grant follows a row of yours: change that row.",
  RBAC_HOST_ROLE_UNKNOWN:
    "A value in the column of roles is not mapped to a role, or the mapping is not an object of names.",
  RBAC_HOST_TABLE_UNSUITABLE:
    "The table cannot be followed: a view, a partition, a parent, a temporary or unlogged table.",
  RBAC_HOST_COLUMN_UNSUITABLE:
    "The table has no such column of a supported type, or the key is not unique by itself.",
  RBAC_HOST_IN_USE:
    "Organizations follow another table, or there are some that the table does not have.",
  RBAC_HOST_HELPER_TAKEN: "The helper of policies would replace another function: give it a name.",
  RBAC_HOST_TABLE_CHANGED:
    "A column that is followed was renamed or dropped: adopt the table again.",
  RBAC_HOST_KEY_REFUSED:
    "The key of an organization cannot be changed, or this key cannot be used: it belonged to a deleted organization, is the id of another one or looks like one, is the UUID of zeros, or is a UUID in capitals.",
  RBAC_INVITATION_INVALID:
    "The invitation is wrong, used, revoked, expired or somebody else's, or its sender could no longer grant the role.",
  AUDIT_LOG_IS_APPEND_ONLY: "An entry, a seal or a checkpoint was to be changed or removed.",
  AUDIT_NULL_ARGUMENT: "A type, result, table or option that must be given is null.",
  AUDIT_UNKNOWN_EVENT_TYPE: "The event type is not in audit_event_types.",
  AUDIT_INVALID_TEXT:
    "Action, resource type and resource id have 1 to 256 printable characters, the purpose of an export 1 to 100.",
  AUDIT_INVALID_DETAILS: "The details are not a JSON object.",
  AUDIT_DETAILS_TOO_LARGE: "The details have more than 16,384 bytes.",
  AUDIT_ACTOR_NOT_YOU: "A client reports its own actions only.",
  AUDIT_EVENT_NOT_REPORTABLE:
    "Clients may not report events of this type; nobody may report the log's own events.",
  AUDIT_SEVERITY_NOT_REPORTABLE: "A client reports up to warning.",
  AUDIT_NOT_A_MEMBER: "The caller does not belong to the organization.",
  AUDIT_UNKNOWN_ENTRY: "No such entry, or none that the caller may read.",
  AUDIT_NOT_A_TABLE:
    "The target of enable_audit is not an ordinary table, or has partitions and bulk was set.",
  AUDIT_NO_PRIMARY_KEY: "A table without a primary key cannot be audited.",
  AUDIT_UNKNOWN_COLUMN: "A column that was named does not exist.",
  AUDIT_KEY_REDACTED: "A column of the primary key cannot be redacted.",
  AUDIT_UNCONVERTIBLE_VALUE: "JSON cannot hold a value, and audit.refuse_unconvertible is on.",
  AUDIT_INVALID_ORGANIZATION_COLUMN:
    "The organization column is not a uuid, bigint, integer or text, or the look-up takes another type.",
  AUDIT_NOT_GUARDED: "The table is not audited.",
  AUDIT_SEAL_IS_OPEN: "A seal was inserted although the last one has to be continued first.",
  AUDIT_SEAL_NEEDS_READ_COMMITTED: "Sealing was called at another isolation level.",
  AUDIT_SEAL_NEEDS_OWN_TRANSACTION: "Sealing was called in a transaction that had written already.",
  AUDIT_NOT_SEALED_YET: "The entry is not sealed yet; try again in a second.",
  AUDIT_ENTRY_ALTERED: "The entry is not what was sealed: run verify_audit_log.",
  AUDIT_INVALID_RANGE:
    "A range of time, of tree sizes (from 1 on) or of a seal's entries is empty, without end or lies ahead.",
  AUDIT_INVALID_LIMIT: "A page size or limit is out of bounds.",
  AUDIT_INVALID_SEARCH: "A free-text search has 2 to 200 characters.",
  AUDIT_INVALID_CHECKPOINT_PROBLEM:
    "The function that signs reports no such problem, or its details are no JSON object of at most 4096 bytes.",
  AUDIT_INVALID_CURSOR: "The cursor is not one that an export, or the tail of the log, gave.",
  AUDIT_INVALID_BUCKET:
    "A chart has up to 1,000 buckets of a second or more, without months or years.",
  AUDIT_INVALID_GROUP:
    "Entries cannot be counted by this field; the description of audit_histogram lists the fields.",
  AUDIT_INVALID_KEY:
    "A checkpoint's signer is not a name, a public key and its secret; or a key id is not 8 hexadecimal digits.",
  AUDIT_KEY_NOT_ENDORSED:
    "A new signing key came without a known one: sign with both, or let the owner accept it.",
  AUDIT_NOT_THE_KEY_HOLDER:
    "The key is registered with another secret, which the sender of the checkpoint does not have.",
  AUDIT_CHECKPOINT_MISMATCH:
    "The checkpoint is no signed note, or not of this log's name, size or root.",
  AUDIT_UNKNOWN_CHECKPOINT: "No checkpoint has that size.",
  AUDIT_NOT_CONFIGURED: "No signing key is set, so no checkpoint can be made.",
  AUDIT_SINK_UNREACHABLE:
    "The sink does not answer and no checkpoint is stored here, so nobody can say whether this one is the first.",
  AUDIT_LOG_FORKED:
    "The log does not continue the newest checkpoint, here or in the sink, or its checkpoints are gone; it was not signed, and a critical entry says so.",
  AUDIT_INVALID_RETENTION: "Entries are kept 1 to 36,500 days.",
  AUDIT_RETENTION_TOO_SHORT:
    "Fewer days than the owner of the database decided in bulwark.settings.",
  AUDIT_REMOVAL_CONFLICT: "Another removal or a write is under way there; run it again.",
  AUDIT_INVALID_ERASURE: "An erasure takes a user and a reason of up to 500 characters.",
  AUDIT_UNKNOWN_SUBJECT:
    "Nobody is known by that id: neither an account, nor an actor of any entry, nor erased before.",
  AUDIT_LEGAL_HOLD: "A legal hold keeps the entries of this person.",
  AUDIT_INVALID_HOLD: "A hold takes a reason and an organization, a person or a resource.",
  AUDIT_TOO_MANY_HOLDS:
    "audit.legal_holds are in force there, or four times as many were placed within a day.",
  AUDIT_HOLD_OUTRANKS_YOU: "A super_admin or the operator placed the hold.",
  AUDIT_HOLD_PLACED:
    "A legal hold was placed while the removal ran, and nothing was removed; run it again.",
  AUDIT_REMOVAL_NEEDS_READ_COMMITTED:
    "Retention, erasure or pruning was called at another isolation level.",
  AUDIT_UNKNOWN_HOLD: "The hold is not in force.",
  AUDIT_ENTRY_ARCHIVED: "The entry's month is in the archive, whose files prove it.",
  AUDIT_UNKNOWN_ARCHIVE: "The month is not archived, or not being archived.",
  AUDIT_ARCHIVE_NOT_INTACT:
    "The month, or an export of it, does not verify, so it is not archived: run verify_audit_log.",
  AUDIT_ARCHIVE_ALTERED:
    "A file of the archive, or an entry in it, is not what was stored and sealed.",
  AUDIT_ARCHIVE_MISSING:
    "A file of the archive is not in the bucket: emptied, another bucket, or moved.",
  AUDIT_ARCHIVE_NOT_STORED:
    "The bucket did not take a file, or gave back another: see the message for its answer.",
  AUDIT_ARCHIVE_UNREACHABLE: "The bucket does not answer, or refuses the request.",
  AUDIT_ARCHIVE_PRUNED:
    "The month was pruned, so its entries cannot be compared with their seals; its files still verify.",
  AUDIT_ARCHIVE_NOT_CONFIGURED: "BULWARK_AUDIT_ARCHIVE is not set.",
  AUDIT_INVALID_RESTORE: "A restore takes a reason of up to 500 characters.",
  SECURITY_UNKNOWN_EVENT_TYPE: "The type is not in the catalogue of security event types.",
  SECURITY_EVENT_NOT_REPORTABLE:
    "Only the audit log itself raises events about the audit log (audit_…).",
  SECURITY_EVENT_NOT_FOUND: "No such event, or one that the caller may not see.",
  SECURITY_EVENT_RESOLVED: "The event is resolved. If it happens again, a new event is raised.",
  SECURITY_INVALID_ASSIGNEE: "The assignee is unknown or may not read the event.",
  SECURITY_UNKNOWN_STATE: "Security events are listed by a state of open, assigned and resolved.",
  SECURITY_INVALID_RETENTION: "Resolved events are kept for 1 to 36500 days.",
  SECURITY_INVALID_NOTE: "An event is resolved with a note of 1 to 2000 characters.",
  ENCRYPTION_FAILED:
    "A value cannot be decrypted: it is damaged, was moved to another place, or is under another key. The function's log has the exact fault.",
  ENCRYPTION_KEY_DESTROYED:
    "The organization was shredded: its data keys are destroyed, and it gets no new ones.",
  ENCRYPTION_KEY_LOST:
    "The key-encryption key was declared lost (declare_key_lost): the value cannot be read.",
  ENCRYPTION_KEY_UNAVAILABLE:
    "The function lacks a key-encryption key, or has another under its id; its log and bulwark doctor name it. Nothing is lost.",
  ENCRYPTION_UNKNOWN_COLUMN:
    "The column does not exist, is not text, is not declared, has no blind index, or belongs to an organization and the request names none.",
  ENCRYPTION_TABLE_NOT_EXPOSED:
    "The Data API does not expose the table with all its declared columns to the caller: grant select, or reload its schema.",
  ENCRYPTION_NOT_A_TABLE: "The table is not an ordinary table with a primary key of one column.",
  ENCRYPTION_PLAINTEXT_PRESENT: "The column contains plaintext: encrypt into a new column first.",
  ENCRYPTION_INVALID_ARGUMENT: "An argument is null, too long, or out of bounds.",
  ENCRYPTION_UNKNOWN_KEY: "No key-encryption key is registered with this id, or it was lost.",
  ENCRYPTION_NOT_CONFIGURED: "No key-encryption key is set.",
  MFA_REQUIRED: "The organization requires a second factor, and this session has verified none.",
  MFA_VERIFICATION_REQUIRED:
    "This needs a verification of the last minutes; a trusted device is not enough.",
  MFA_RECENT_SIGN_IN_REQUIRED:
    "The first factor needs a sign-in of the last minutes: sign in again.",
  MFA_SESSION_REQUIRED:
    "The installation accepts tokens without a session, but a second factor is verified for a session.",
  MFA_CODE_REFUSED:
    "The code is wrong or used, there is no factor, or the account is locked: one answer for all, after the same time.",
  MFA_INVALID_CODE:
    "A code has six digits, a backup code six groups of four letters or digits; this costs no attempt.",
  MFA_INVALID_BACKUP_CODE:
    "A backup code has six groups of four letters or digits; this costs no attempt.",
  MFA_EXPIRED:
    "The enrollment or attempt was not finished in time, or the session ended meanwhile.",
  MFA_UNKNOWN_PURPOSE: "An attempt is for verify, backup_code, activate or disable.",
  MFA_TOO_MANY_FACTORS: "An account has at most five factors.",
  MFA_NOT_ENROLLED: "The account has no second factor.",
  MFA_UNKNOWN_FACTOR: "The caller has no factor with this id.",
  MFA_INVALID_BACKUP_CODES: "A set of backup codes has ten.",
  MFA_INVALID_NAME: "A name has 1 to 64 printable characters.",
  MFA_NULL_ARGUMENT: "A required argument is null.",
  MFA_UNKNOWN_STATE: "Members are listed who are enrolled, missing, overdue or locked.",
  MFA_INVALID_GRACE_PERIOD: "A grace period has up to 90 days.",
  MFA_INVALID_REASON: "A reset takes a reason of up to 500 characters.",
  MFA_OWN_RESET: "Nobody resets their own factors: disable removes them.",
  MFA_OWN_REQUEST: "Nobody approves their own request.",
  MFA_USER_OUTRANKS:
    "The user ranks higher than the administrator, or holds a permission that the administrator does not.",
  MFA_RESET_PENDING: "A reset of the user is open: approve or cancel it.",
  MFA_TOO_MANY_RESETS:
    "A reset of this account was asked for mfa.resets_per_day times within a day.",
  MFA_UNKNOWN_RESET: "No such reset is open, or none that the caller has a say in.",
  MFA_TABLE_WITHOUT_RLS: "Only a table with row-level security can ask for a second factor.",
  MFA_INVALID_MAX_AGE: "A verification is fresh for 1 second to 30 days.",
  MFA_NOT_GUARDED: "The table does not ask for a second factor.",
  MFA_NOT_CONFIGURED: "No pepper is set, so no code can be handled.",
  RATE_LIMIT_EXCEEDED: "Too many requests; try again after Retry-After seconds.",
  RATE_LIMIT_BLOCKED:
    "The address, the API key, or the account from this address is blocked, or the address is in a network that is listed as blocked.",
  RATE_LIMIT_UNAVAILABLE: "The limit cannot be checked right now, and the rule fails closed.",
  LOGIN_FAILED:
    "The sign-in was refused: unknown account, wrong password, unconfirmed or banned give the same answer.",
  RATE_LIMIT_UNKNOWN_RULE: "The rule does not exist.",
  RATE_LIMIT_INVALID_COST: "A call costs at least one token and at most the rule's capacity.",
  RATE_LIMIT_INVALID_CALLS:
    "A batch has 1 to 100 calls with a rule, a user and an address each, or 1 to 1,000 equal calls.",
  RATE_LIMIT_INVALID_LIMIT:
    "A limit has 1 to 1,000,000 calls in 1 second to 31 days, for one organization, one API key or neither.",
  RATE_LIMIT_INVALID_IDENTIFIERS: "A refusal is recorded for 1 to 4 identifiers of known kinds.",
  RATE_LIMIT_TOO_MANY_OVERRIDES:
    "The maximum number of overrides (rate_limits.overrides) is reached.",
  RATE_LIMIT_TOO_MANY_NETWORKS:
    "The maximum number of listed networks (rate_limits.listed_networks) is reached.",
  RATE_LIMIT_UNKNOWN_OVERRIDE: "The organization or API key has no override of this rule.",
  RATE_LIMIT_INVALID_NETWORK:
    "Not a network, wider than a /8 (IPv6: /16), or an IPv6 network narrower than a /64.",
  RATE_LIMIT_INVALID_LISTING: "A listed network needs a verdict, a reason and no end in the past.",
  RATE_LIMIT_UNKNOWN_NETWORK: "The network is not listed, or not written as listed.",
  RATE_LIMIT_UNKNOWN_BLOCK: "The block is not in force.",
  API_KEY_INVALID:
    "The key is wrong, malformed, revoked, expired, not allowed from this network, or has no permissions any more: one answer for all.",
  API_KEY_HEADER_CLOSED:
    "No key is taken from a header, because the server may log it: log_parameter_max_length is not 0 for authenticator, its connections are older than that, or plans are logged with their values.",
  API_KEY_NOT_FOUND: "No such key, or one that the caller may not rotate or revoke.",
  API_KEY_NOT_ALLOWED:
    "The organization does not allow API keys, or requires MFA and has not allowed them since.",
  API_KEY_SCOPE_NOT_HELD:
    "The issuer does not hold this permission there; in a rotation, none of the key's.",
  API_KEY_SCOPE_NOT_FOR_PROGRAMS:
    "The role api_user, the upper bound of API keys, does not hold this permission.",
  API_KEY_INVALID_SCOPES: "Scopes are a plain list of 1 to 100 permissions.",
  API_KEY_INVALID_NAME: "A name has 1 to 100 printable characters.",
  API_KEY_INVALID_EXPIRY:
    "The expiry is in the past, or later than the organization or the installation allows.",
  API_KEY_INVALID_NETWORK:
    "A network is invalid, has host bits, or is narrower than /64 of IPv6; or there are more than 50.",
  API_KEY_UNKNOWN_ENVIRONMENT: "The setting api_keys.environments does not list it.",
  API_KEY_RULE_NOT_OPEN: "Issuers of keys cannot choose this rate limit rule.",
  API_KEY_TOO_MANY:
    "The member has reached the limit of keys there (in a rotation, twice the limit), or was issued four times as many within an hour.",
  API_KEY_INVALID_OVERLAP: "The overlap of a rotated key is 0 to 30 days.",
  API_KEY_ALREADY_ROTATED: "The key has a successor; rotate that one.",
  API_KEY_NOT_ACTIVE: "A revoked or expired key has no successor.",
  API_KEY_INVALID_REASON: "The reason of a revocation has 1 to 500 printable characters.",
  API_KEY_NULL_ARGUMENT: "A required argument is null.",
  API_KEY_ONLY_NARROWS: "A write would extend a key or undo its revocation.",
  API_KEY_INVALID_HASH: "The hash from the function is not a SHA-256 in hex.",
  API_KEY_INVALID_REPORT: "The report of leaks is not a list of at most 1,000 entries.",
  API_KEY_TABLE_WITHOUT_RLS: "The relation is not a permanent table with row-level security.",
  API_KEY_TABLE_NEEDS_MFA:
    "The table has an MFA requirement, or would bypass the one of a parent, a partition, a child or the target of a cascade. A key never counts as a second factor.",
  API_KEY_TABLE_OF_BULWARK: "Bulwark's own tables cannot be opened to keys.",
  API_KEY_SCHEMA_CLOSED:
    "The roles api_key and authenticated may not both use the table's schema; the hint has the grant.",
  API_KEY_RESTRICTION_UNCLEAR:
    "A restrictive policy depends on more than the row, perhaps on the person, and does not name api_key.",
  API_KEY_TABLE_OPEN_OTHERWISE:
    "A rule, ownership, a privilege outside of policies, or an earlier grant opens the table to keys.",
  API_KEY_NOTHING_TO_ADMIT: "No policy of the table is a plain permission; name the permissions.",
  API_KEY_INVALID_ORGANIZATION_COLUMN:
    "The table has no such column, or it is neither a uuid nor a key of the table given to use_organizations.",
  API_KEY_TABLE_NOT_ADMITTED: "The table is not open to API keys.",
  METRICS_INVALID_BATCH: "A batch has no id, is no list, or has more than 5,000 samples.",
  METRICS_UNKNOWN_METRIC: "The metric does not exist; list_metrics() lists all.",
  METRICS_INVALID_RANGE:
    "The range ends before it begins, is longer than 1,000 days, or has more than 1,000 steps.",
  METRICS_INVALID_ALERT_RULE: "A rule's name, label, threshold, window or duration is invalid.",
  METRICS_UNKNOWN_ALERT_RULE: "There is no rule with this name; list_alerts() lists all.",
  METRICS_TOO_MANY_ALERT_RULES: "The maximum number of rules is reached.",
  WEBHOOK_URL_NOT_ALLOWED:
    "The address is not https on a public host, or contains credentials; the message has the reason.",
  WEBHOOK_UNKNOWN_ENDPOINT: "No such endpoint, or one that the caller may not see.",
  WEBHOOK_UNKNOWN_EVENT:
    "No audit entry or security event with this id, or none that the endpoint could get.",
  WEBHOOK_UNKNOWN_DELIVERY: "No such delivery, or one that the caller may not see.",
  WEBHOOK_INVALID_SUBSCRIPTION:
    "Subscriptions are a list of 1 to 50 patterns (*, audit.…, security.…) with severities; invitation.created is for one endpoint of the installation.",
  WEBHOOK_MAIL_FAILED:
    "The invitation could not be sent as e-mail; the message has the reason. The delivery is attempted again.",
  WEBHOOK_TOO_MANY_ENDPOINTS: "The organization has reached the limit of endpoints.",
  WEBHOOK_ID_TAKEN:
    "The id was used by an endpoint before; the function bulwark-webhooks generates a new one each time.",
  WEBHOOK_TOO_MANY_SECRETS:
    "Five secrets of the endpoint are valid already; wait until one has expired.",
  WEBHOOK_TOO_MANY_TESTS: "The limit of samples for the endpoint in this minute is reached.",
  WEBHOOK_INVALID_OVERLAP: "The overlap of an old secret is 0 to 7 days.",
  WEBHOOK_DELIVERY_PENDING: "The delivery is still being attempted and cannot be replayed.",
  WEBHOOK_NULL_ARGUMENT: "The start, the end or the statuses of a range are null.",
  WEBHOOK_INVALID_CLAIM:
    "A claim has 1 to 1,000 deliveries, a lease of 5 to 3,600 seconds, and a worker name.",
  WEBHOOK_INVALID_RESULTS: "The results are not a list.",
  COMPLIANCE_INVALID_RANGE: "A report's range of time is empty, infinite or lies ahead.",
  COMPLIANCE_NULL_ARGUMENT: "An argument is null.",
  COMPLIANCE_UNKNOWN_SUBJECT: "Nobody is known by that id, or not to this organization.",
  COMPLIANCE_INVALID_LIMIT: "A page has 1 to 5,000 rows.",
  COMPLIANCE_INVALID_CURSOR: "The cursor is not next of an earlier page of this export.",
  COMPLIANCE_EXPORT_RUNNING: "Another page of an export by the same person is being made.",
  COMPLIANCE_INVALID_REVIEW:
    "A review has a printable name of up to 120 characters, 1 to 50 reviewers and an end within a year.",
  COMPLIANCE_TOO_MANY_ITEMS: "A review covers up to 10,000 members and keys.",
  COMPLIANCE_TOO_MANY_REVIEWS: "The organization has compliance.reviews reviews.",
  COMPLIANCE_UNKNOWN_REVIEW: "No such review or item, or none that the caller may see or decide.",
  COMPLIANCE_OWN_ACCESS: "Nobody reviews their own access.",
  COMPLIANCE_REVIEW_CLOSED: "The review is closed.",
  COMPLIANCE_ALREADY_DECIDED: "Somebody has decided about this access already.",
  COMPLIANCE_ACCESS_CHANGED: "The access is not that of the version given: list it again.",
  COMPLIANCE_INVALID_NOTE: "A note has 1 to 500 printable characters.",
  COMPLIANCE_INVALID_TABLE: "It is no table of the application.",
  COMPLIANCE_INVALID_COLUMN: "A declared column is missing, or holds neither an id nor an address.",
  UNAUTHORIZED:
    "No token, or one that is forged, altered or expired. For an ended session: SESSION_ENDED.",
  FORBIDDEN: "The database refused without a code of Bulwark.",
  NOT_FOUND: "The function has no such path.",
  METHOD_NOT_ALLOWED: "The function does not support this method.",
  INVALID_JSON: "The body is not JSON in UTF-8. An empty body is an empty object.",
  INVALID_INPUT:
    "A field is missing, unknown or malformed, and the message names it; or the database or the application refuses a value, such as text with U+0000 or JSON that is nested too deeply.",
  CONFLICT: "The request conflicts with an existing or a missing row.",
  BODY_INCOMPLETE: "The body ended early.",
  BODY_TOO_LARGE: "More than 1 MiB, or 16 KiB to login.",
  DATA_API_UNAVAILABLE:
    "The database is away, too busy, only reads, took longer than five seconds, or another transaction was in the way; try again after Retry-After seconds.",
  INTERNAL: "An unexpected error; find it in the function's log by the correlation id.",
  CLIENT_NETWORK: "The project did not answer, or its answer broke off; cause has the reason.",
  CLIENT_ABORTED: "The call was aborted, or took longer than its timeout.",
  CLIENT_NOT_INSTALLED:
    "The project has no such call: schema bulwark is not exposed, the function is not deployed, or the capability is not installed.",
};
