/** The shapes of JSON in answers, as a test finds them in those of the running stack. */
import type { FunctionAnswers } from "./generated/answers.ts";
import type {
  CompositeTypes,
  Enums,
  Functions as Generated,
  Json,
  Rows,
} from "./generated/database.ts";
import type { WithNull } from "./overlay.ts";
import type { Permission } from "./permissions.ts";
import type { Simplify } from "./result.ts";

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

/** The state of an invitation. */
export type InvitationState = "pending" | "accepted" | "declined" | "revoked" | "expired";

/** An invitation of an organization. */
export interface SentInvitation extends
  WithNull<
    Omit<Generated["list_invitations"]["Returns"][number], "state">,
    "accepted_by" | "ended_at" | "invited_by" | "invited_by_name" | "role_expires_at"
  > {
  state: InvitationState;
}

/** A member of an organization. */
export interface Member extends
  WithNull<
    Omit<Generated["list_members"]["Returns"][number], "roles">,
    "email" | "last_sign_in_at" | "mfa_enrolled" | "name"
  > {
  roles: MemberRole[];
}

/** The signed-in user, with roles and permissions. */
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

/** Second factors of the caller. A session that does not satisfy MFA gets null for their details. */
export type MfaStatus = FunctionAnswers["bulwark-mfa"];

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
  archived_through_seal: number;
  archived_through_month: string | null;
  gaps: number;
  audited_tables: number;
  touched_objects: string[];
}

type Proof = FunctionAnswers["bulwark-audit/proof"];
/** Fields with values that the database enumerates. */
type Enumerated = "source" | "severity" | "result";

/** An entry as it was sealed; of a removed payload the commitment is left. */
export type SealedEntry = Simplify<
  Omit<Proof["entry"], Enumerated> & Pick<Rows["audit_logs"], Enumerated>
>;

/** Proves that an entry is in the log; hashes are base64. */
export type EntryProof = Simplify<Omit<Proof, "entry"> & { entry: SealedEntry }>;

/** Proves that the log of `to_size` seals extends that of `from_size` seals. */
export type ConsistencyProof = FunctionAnswers["bulwark-audit/proof/consistency"];

/** The choices for a new API key. */
export interface ApiKeyOptions {
  /** Whether the organization allows keys. */
  allowed: boolean;
  /** Whether a second factor has to be verified first. */
  step_up_required: boolean;
  scopes: { permission: Permission; description: string }[];
  environments: string[];
  rate_limit_rules: {
    name: string;
    description: string;
    capacity: number;
    window_seconds: number;
  }[];
  default_days: number;
  max_days: number;
  max_overlap_days: number;
  keys_left: number;
}

/** Numbers of entries by time. */
export interface AuditHistogram {
  since: string;
  until: string;
  /** Without empty ones. */
  buckets: { at: string; label: string | null; count: number }[];
  /** Continues as `before`, with the same range; add the counts. */
  next: string | null;
}

/** The data keys of an organization, and their use. */
export interface EncryptionOverview {
  shredded_at: string | null;
  messages_per_key: number;
  /** The newest 100, without the keys themselves. */
  keys: {
    purpose: "field" | "index";
    version: number;
    state: string;
    messages: number;
    created_at: string;
    superseded_at: string | null;
    destroyed_at: string | null;
  }[];
  columns: { table: string; column: string; blind_index: boolean; declared_at: string }[];
  reencryptions: {
    purpose: string;
    version: number;
    table_name: string;
    column_name: string;
    state: string;
    total: number | null;
    done: number;
    failed: number;
    started_at: string | null;
    updated_at: string | null;
    finished_at: string | null;
  }[];
  failures: { table: string; column: string; fault: string; rows: number; row_keys: string[] }[];
}

/** The limits of an organization, and how much of them its keys have left. */
export interface RateLimitUsage {
  rules: {
    name: string;
    description: string;
    identified_by: Enums["rate_limit_subject"];
    capacity: number;
    window_seconds: number;
    overridden: boolean;
  }[];
  /** Null without api_key:read. */
  api_keys:
    | {
      api_key_id: string;
      name: string;
      rule: string;
      capacity: number;
      window_seconds: number;
      remaining: number;
      reset_seconds: number;
      /** Whether the last call was refused. */
      refused: boolean;
      blocked_until: string | null;
      created_at: string;
    }[]
    | null;
}

/** A setting of the installation. */
export interface Setting {
  name: string;
  value: Json;
  description: string;
  /** A JSON Schema of the values that can be set; null: only the owner of the database can. */
  accepts: { [keyword: string]: Json } | null;
}

/** An access that a review is about; `access` is null if it has ended. */
export interface ReviewedAccess {
  id: string;
  user_id: string;
  email: string | null;
  name: string | null;
  /** Null for a member's roles. */
  api_key_id: string | null;
  access: object | null;
  /** Goes with the decision to keep it. */
  version: string | null;
  decision: "keep" | "end" | null;
  outcome: "kept" | "ended" | "gone" | null;
  note: string | null;
  decided_by: string | null;
  decided_at: string | null;
}

/** Where a closed review ended. */
export interface ReviewTotals {
  name: string;
  due_at: string;
  items: number;
  undecided: number;
  kept: number;
  ended: number;
  gone: number;
  in_time: boolean;
  sha256: string;
}

/** A row that names a person: where it is, the columns that do, and what it says. */
export interface SubjectRow {
  source: string;
  names: string[];
  row: Record<string, unknown>;
}

/** The newest entries of one kind in a compliance report, and how many there are. */
export interface ComplianceSection {
  total: number;
  entries: { id: string; at: string; type: string; [field: string]: unknown }[];
}

/** The evidence about an organization; docs/compliance.md lists the parts. */
export interface ComplianceReport {
  kind: "bulwark compliance report";
  format: 1;
  organization: { id: string; name: string; slug: string };
  since: string;
  until: string;
  made_at: string;
  made_by: string | null;
  /** The entry of the audit log that records the report. */
  entry: string;
  access: {
    members: object[];
    members_total: number;
    members_cut: boolean;
    [field: string]: unknown;
  };
  mfa: { members: number; enrolled: number; missing: string[]; [field: string]: unknown };
  api_keys: { in_force: number; keys: object[]; [field: string]: unknown };
  reviews: { open: number; overdue: number; reviews: object[]; [field: string]: unknown };
  keys_in_use: Record<string, unknown>;
  retention_rules: Record<string, unknown>;
  events: { open: number; open_events: object[]; [field: string]: unknown };
  verification: {
    verdict: { intact: boolean; complete: boolean; whole_range: boolean; [field: string]: unknown };
    [field: string]: unknown;
  };
  grants: ComplianceSection;
  privileged: ComplianceSection;
  keys: ComplianceSection;
  retention: ComplianceSection;
  incidents: ComplianceSection;
  log: { complete: boolean; read_since: string; entries: number; [field: string]: unknown };
  [field: string]: unknown;
}
