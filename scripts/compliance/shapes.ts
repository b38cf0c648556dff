/** The parts of a compliance report that its pages show; see bulwark.compliance_report. */

/** An entry of the log, as a report lists it. */
export interface ReportEntry {
  id: string;
  at: string;
  type: string;
  action?: string;
  result: string;
  actor_type?: string;
  actor_id?: string;
  resource_type?: string;
  resource_id?: string;
  user_id?: string;
  role_id?: string;
  kind?: string;
  entries?: number;
  reason?: string;
  payload_removed?: true;
}

/** The newest entries of one kind, and how many there are. */
export interface ReportSection {
  total: number;
  entries: ReportEntry[];
}

/** A compliance report. */
export interface Report {
  kind: string;
  format: number;
  version: string;
  capabilities: string[];
  organization: { id: string; name: string; slug: string };
  since: string;
  until: string;
  made_at: string;
  made_by: string | null;
  entry: string;
  access: {
    members: {
      user_id: string;
      email: string | null;
      name: string | null;
      roles: { role: string; starts_at: string; expires_at: string | null; active: boolean }[];
      member_since: string;
      suspended: boolean;
      mfa_enrolled: boolean | null;
      last_sign_in_at: string | null;
    }[];
    members_total: number;
    members_cut: boolean;
    administrators: number;
    super_admins: number;
    pending_invitations: number;
  };
  mfa: {
    required_from: string | null;
    members: number;
    enrolled: number;
    members_cut: boolean;
    missing: string[];
    missing_cut: boolean;
  };
  api_keys: {
    in_force: number;
    in_force_cut: boolean;
    older_than_30_days: number;
    older_than_90_days: number;
    older_than_180_days: number;
    never_used: number;
    unused_for_90_days: number;
    issued_without_mfa: number;
    keys: {
      id: string;
      name: string;
      first_characters: string;
      owner_id: string;
      effective_scopes: string[];
      status: string;
      created_at: string;
      expires_at: string;
      last_used_at: string | null;
    }[];
    keys_cut: boolean;
  };
  reviews: {
    open: number;
    overdue: number;
    last_closed_at: string | null;
    reviews: {
      id: string;
      name: string;
      started_at: string;
      due_at: string;
      closed_at: string | null;
      reviewers: string[];
      totals: { items: number; undecided: number; kept: number; ended: number; gone: number };
    }[];
    reviews_cut: boolean;
  };
  keys_in_use: {
    data_keys: {
      purpose: string;
      version: number;
      state: string;
      kek: string;
      created_at: string;
      superseded_at: string | null;
      destroyed_at: string | null;
    }[];
    data_keys_total: number;
    key_encryption_keys: { id: string; registered_at: string; current: boolean }[];
    signing_keys: { key_id: string; name: string; registered_at: string }[];
  };
  retention_rules: {
    settings: Record<string, unknown>;
    holds_in_force: {
      id: string;
      subject_id: string | null;
      resource_type: string | null;
      placed_by: string | null;
      placed_at: string;
    }[];
    archived_months: string[];
  };
  events: {
    open: number;
    open_by_severity: Record<string, number>;
    oldest_open_at: string | null;
    unassigned: number;
    raised_in_range: number;
    resolved_in_range: number;
    median_hours_to_resolve: number | null;
    events_cut: boolean;
    open_events: {
      id: string;
      event_type: string;
      severity: string;
      raised_at: string;
      occurrences: number;
      assigned_to: string | null;
    }[];
    open_events_cut: boolean;
  };
  verification: {
    verdict: {
      intact: boolean;
      complete: boolean;
      problem: string | null;
      entries_checked: number;
      seals_checked: number;
      payloads_removed: number;
      whole_range: boolean;
    };
    coverage: { sealed_until: string | null; signed_until: string | null };
    checkpoint: {
      tree_size: number;
      key_id: string;
      signed_at: string;
      sink: string | null;
      delivered_at: string | null;
      note: string;
    } | null;
    open_alarms: number;
  };
  grants: ReportSection;
  privileged: ReportSection;
  keys: ReportSection;
  retention: ReportSection;
  incidents: ReportSection;
  log: {
    complete: boolean;
    read_since: string;
    listed_at_most: number;
    entries: number;
    by_type: { type: string; result: string; count: number }[];
  };
}

/** A report, with what its page says of its text. */
export interface ShownReport {
  report: Report;
  /** Of the report's bytes. */
  sha256: string;
  /** The signed note; null: none. */
  note: string | null;
}
