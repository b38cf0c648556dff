/**
 * Corrections of the generated types: nullability and the shapes of JSON (`shapes.ts`), which no
 * generator knows. A test compares them with answers of the running stack.
 */
import type { Functions as Generated } from "./generated/database.ts";
import type { Permission } from "./permissions.ts";
import type { Simplify } from "./result.ts";
import type {
  ApiKeyOptions,
  AuditEntry,
  AuditHistogram,
  AuditStatus,
  ComplianceReport,
  ConsistencyProof,
  EncryptionOverview,
  EntryProof,
  IssuedApiKey,
  Member,
  MfaStatus,
  RateLimitUsage,
  ReviewedAccess,
  ReviewTotals,
  SentInvitation,
  Setting,
  SubjectRow,
  Whoami,
} from "./shapes.ts";

/** The columns of answers that can be null. */
interface NullableColumns {
  audit_coverage:
    | "delivered_until"
    | "newest_entry"
    | "sealed_until"
    | "signed_until";
  audit_period: "after" | "through";
  check_health: "seconds";
  encryption_progress: "finished_at" | "of_organization" | "started_at" | "total" | "updated_at";
  erase_subject: "next_after";
  explain_permission: "expires_at" | "inherited_from" | "role" | "starts_at" | "system_wide";
  get_user_roles: "expires_at" | "granted_by";
  invite_member: "token";
  list_alerts:
    | "critical"
    | "evaluated_at"
    | "raised_at"
    | "since"
    | "state"
    | "value"
    | "warning";
  list_api_keys:
    | "last_used_at"
    | "networks"
    | "revoked_at"
    | "revoked_because"
    | "revoked_by"
    | "rotated_from";
  list_metrics: "last_at";
  list_names: "email" | "name";
  my_invitations: "invited_by" | "invited_by_email" | "invited_by_name" | "role_expires_at";
  preview_invitation: "invitation_id" | "invited_by_name" | "role_expires_at";
  resend_invitation: "token";
  mfa_compliance:
    | "email"
    | "last_sign_in_at"
    | "last_used_at"
    | "locked_until"
    | "name"
    | "required_from";
  my_sessions: "ip" | "mfa_verified_at" | "not_after" | "refreshed_at" | "user_agent";
  rate_limit_caller: "api_key_id" | "organization_id" | "user_id";
  read_metric: "label" | "last" | "maximum" | "mean" | "minimum" | "p50" | "p95" | "p99" | "total";
  verify_audit_log:
    | "detail"
    | "entry"
    | "first_seal"
    | "last_seal"
    | "next_after_seal"
    | "problem"
    | "seal";
  webhook_stats:
    | "counted_since"
    | "failing_since"
    | "last_delivered_at"
    | "oldest_pending_at"
    | "p50_ms"
    | "p95_ms";
}

/** Answers with another shape than the generated one. */
interface Shapes {
  api_key_options: ApiKeyOptions;
  audit_histogram: AuditHistogram;
  audit_status: AuditStatus;
  audit_consistency_proof: ConsistencyProof;
  audit_inclusion_proof: EntryProof;
  close_access_review: ReviewTotals;
  compliance_report: ComplianceReport;
  create_api_key: IssuedApiKey;
  current_person: string | null;
  encryption_overview: EncryptionOverview;
  export_subject: {
    subject: string;
    rows: SubjectRow[];
    /** Entries that are told only to those who may erase the person. */
    withheld: number;
    archived: string[];
    next: string | null;
  };
  list_invitations: SentInvitation[];
  list_access_review: ReviewedAccess[];
  list_members: Member[];
  list_settings: Setting[];
  mfa_status: MfaStatus[];
  my_permissions: { permissions: Permission[] | null; version: string }[];
  organization_id: string | null;
  rate_limit_usage: RateLimitUsage;
  rotate_api_key: IssuedApiKey;
  search_audit_logs: { entries: AuditEntry[]; next: string | null; archived: string[] };
  tail_audit_log: { entries: AuditEntry[]; cursor: string; more: boolean };
  whoami: Whoami | null;
}

/** Arguments that must be given and may be null. */
interface NullableArguments {
  assign_security_event: "assignee";
  list_names: "organization_id";
  rate_limit_usage: "organization_id";
  require_permission: "organization_id";
  set_mfa_policy: "organization_id";
}

/** The name of a function of the database. */
export type FunctionName = keyof Generated;

/** The arguments of a function. */
export type Args<Name extends FunctionName> = Name extends keyof NullableArguments
  ? WithNull<Generated[Name]["Args"], NullableArguments[Name]>
  : Generated[Name]["Args"];

/** The answer of a function. */
export type Returns<Name extends FunctionName> = Name extends keyof Shapes ? Shapes[Name]
  : Name extends keyof NullableColumns ? WithNull<Generated[Name]["Returns"], NullableColumns[Name]>
  // A function without a result answers null.
  : Generated[Name]["Returns"] extends undefined ? null
  : Generated[Name]["Returns"];

/** A type with some fields that can be null. */
export type WithNull<Type, Keys> = Type extends (infer Row)[] ? WithNull<Row, Keys>[]
  : Simplify<{ [Key in keyof Type]: Key extends Keys ? Type[Key] | null : Type[Key] }>;
