/**
 * Corrections of the generated types: nullability and the shapes of JSON, which no generator knows. A
 * test compares them with answers of the running stack.
 */
import type {
  CompositeTypes,
  Enums,
  Functions as Generated,
  Json,
  Rows,
} from "./generated/database.ts";
import type { BulwarkCode } from "./generated/codes.ts";
import type { Permission } from "./permissions.ts";
import type { Simplify } from "./result.ts";

/** The columns of answers that can be null. */
interface NullableColumns {
  encryption_progress: "finished_at" | "of_organization" | "started_at" | "total" | "updated_at";
  erase_subject: "next_after";
  explain_permission: "expires_at" | "inherited_from" | "role" | "starts_at" | "system_wide";
  get_user_roles: "expires_at" | "granted_by";
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
  read_metric: "label" | "last" | "maximum" | "mean" | "minimum" | "p50" | "p95" | "p99" | "total";
  verify_audit_log:
    | "detail"
    | "entry"
    | "first_seal"
    | "last_seal"
    | "next_after_seal"
    | "problem"
    | "seal";
}

/** Answers with another shape than the generated one. */
interface Shapes {
  audit_status: AuditStatus;
  audit_consistency_proof: ConsistencyProof;
  audit_inclusion_proof: EntryProof;
  create_api_key: IssuedApiKey;
  list_members: Member[];
  mfa_status: MfaStatus[];
  my_permissions: { permissions: Permission[] | null; version: string }[];
  rotate_api_key: IssuedApiKey;
  search_audit_logs: { entries: AuditEntry[]; next: string | null };
  whoami: Whoami | null;
}

/** Arguments that must be given and may be null. */
interface NullableArguments {
  assign_security_event: "assignee";
  list_names: "organization_id";
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

type WithNull<Type, Keys> = Type extends (infer Row)[] ? WithNull<Row, Keys>[]
  : Simplify<{ [Key in keyof Type]: Key extends Keys ? Type[Key] | null : Type[Key] }>;

/** A role of a member. */
export interface MemberRole {
  role: string;
  level: number;
  /** Where the grant comes from: `bulwark`, or the application's own table. */
  source: string;
  starts_at: string;
  expires_at: string | null;
  active: boolean;
  granted_by: string | null;
}

/** A member of an organization. */
export interface Member extends
  WithNull<
    Omit<Generated["list_members"]["Returns"][number], "roles">,
    "email" | "last_sign_in_at" | "mfa_enrolled" | "name"
  > {
  roles: MemberRole[];
}

/** Who is calling, and what they may do. */
export interface Whoami {
  /** Changes with every other field. */
  version: string;
  user: {
    id: string;
    email: string | null;
    email_confirmed: boolean;
    name: string | null;
    anonymous: boolean;
  };
  mfa: {
    /** Whether the account has a second factor. */
    enrolled: boolean;
    /** When this session proved one. */
    verified_at: string | null;
    satisfied: boolean;
  };
  /** The system-wide ones. */
  roles: string[];
  permissions: Permission[];
  /** The first 100 by slug. */
  organizations: {
    id: string;
    name: string;
    slug: string;
    roles: string[];
    /** Those of the session right now. */
    permissions: Permission[];
    mfa_required: boolean;
    mfa_required_from: string | null;
    mfa_met: boolean;
  }[];
}

/** An API key, as it is shown once. */
export type IssuedApiKey = Simplify<
  {
    [Key in keyof CompositeTypes["issued_api_key"]]: NonNullable<
      CompositeTypes["issued_api_key"][Key]
    >;
  }
>;

/** An entry of the audit log. */
export type AuditEntry = Simplify<
  Omit<Rows["audit_logs"], "before" | "after" | "details"> & {
    before: { [column: string]: Json } | null;
    after: { [column: string]: Json } | null;
    details: { [name: string]: Json } | null;
  }
>;

/** Second factors of the caller; null is known only to a session that satisfies MFA. */
export interface MfaStatus {
  enrolled: boolean;
  /** Factors of Supabase Auth itself. */
  native_factors: number;
  /** When this session proved a factor. */
  verified_at: string | null;
  /** Whether the session may enter organizations that require MFA. */
  satisfied: boolean;
  locked: boolean | null;
  backup_codes_left: number | null;
  factors: { id: string; name: string; activated_at: string; last_used_at: string | null }[] | null;
  trusted_devices:
    | {
      id: string;
      name: string;
      created_at: string;
      expires_at: string;
      last_used_at: string | null;
    }[]
    | null;
}

/** Status of the audit log. */
export interface AuditStatus {
  timeline: number;
  settled: boolean;
  restore_problems: string[];
  last_seal: number | null;
  sealed_at: string | null;
  overdue_entries: number;
  checkpoint_size: number | null;
  checkpoint_at: string | null;
  undelivered_checkpoints: number;
  gaps: number;
  audited_tables: number;
  touched_objects: string[];
}

/** An entry as it was sealed; of a removed payload the commitment is left. */
export interface SealedEntry {
  id: string;
  organization_id: string | null;
  timeline: number;
  xid: string;
  occurred_at: string;
  occurred_at_us: number;
  source: Enums["audit_source"];
  severity: Enums["audit_severity"];
  result: Enums["audit_result"];
  event_type: string;
  resource_type: string | null;
  salt?: string;
  payload?: string;
  commitment?: string;
  removed_by?: string;
  leaf?: string | null;
}

/** Proves that an entry is in the log; hashes are base64. */
export interface EntryProof {
  entry: SealedEntry;
  entry_index: number;
  entry_path: string[];
  group: {
    organization_id: string | null;
    seal: number;
    entry_count: number;
    entries_before: number;
    previous: string;
    root: string;
  };
  group_index: number;
  group_count: number;
  group_path: string[];
  seal: {
    number: number;
    previous_hash: string;
    root: string;
    timeline: number;
    sealed_at: string;
    sealed_at_us: number;
    snapshot: string;
    through: string | null;
    hash: string;
  };
  tree_index: number;
  tree_size: number;
  tree_path: string[];
  tree_root: string;
  /** The signed note about the tree; null if no checkpoint covers the entry yet. */
  checkpoint: string | null;
}

/** Proves that the log of `to_size` seals extends that of `from_size` seals. */
export interface ConsistencyProof {
  from_size: number;
  to_size: number;
  from_root: string;
  to_root: string;
  path: string[];
}

/** The answers of edge functions that are not those of a database function, by path. */
export interface FunctionAnswers {
  "bulwark-audit/checkpoint": {
    tree_size: number | null;
    signed_at: string | null;
    delivered_at: string | null;
    note: string | null;
    keys: string[];
  };
  "bulwark-encryption/encrypt": {
    rows: { primary_key: string; fields: Record<string, string | null> }[];
  };
  "bulwark-encryption/decrypt": {
    rows: (
      | { primary_key: string; fields: Record<string, string | null> }
      | { primary_key: string; error: { code: BulwarkCode; message: string } }
    )[];
  };
  "bulwark-encryption/find": { primary_keys: string[]; next: string | null };
  "bulwark-encryption/rotate": {
    organization_id: string | null;
    purpose: "field" | "index";
    version: number;
  };
  "bulwark-mfa/enroll": {
    factor_id: string;
    /** Base32, for typing. */
    secret: string;
    /** The content of the QR code. */
    uri: string;
    qr_svg: string;
  };
  /** Ten backup codes with the first factor. */
  "bulwark-mfa/activate": { backup_codes: string[] | null };
  "bulwark-mfa/verify": { verified: true; backup_codes_left?: number };
  "bulwark-mfa/verify-backup-code": { verified: true; backup_codes_left: number };
  "bulwark-mfa/backup-codes": { backup_codes: string[] };
  "bulwark-mfa/disable": { disabled: true };
  "bulwark-mfa/devices": { device_id: string; token: string; expires_at: string };
  "bulwark-mfa/devices/present": { trusted: boolean };
  "bulwark-mfa/devices/revoke": { revoked: number };
  "bulwark-mfa/resets": { completed: boolean; reset_id: string };
  "bulwark-mfa/resets/approve": { completed: boolean };
  "bulwark-mfa/resets/cancel": { cancelled: true };
  /** The secret is shown this once. */
  "bulwark-webhooks/endpoints": Simplify<Rows["webhook_endpoints"] & { secret: string }>;
  "bulwark-webhooks/endpoints/<id>/rotate": { secret: string; previous_until: string };
  "bulwark-webhooks/endpoints/<id>/test": {
    delivery_id: string;
    outcome: Enums["webhook_outcome"] | null;
    status?: number | null;
    latency_ms?: number | null;
    response?: string | null;
  };
}
