export type Json = string | number | boolean | null | { [key: string]: Json } | Json[];

export interface AccessReviewItemsRow {
  access: Json;
  api_key_id: string | null;
  decided_at: string | null;
  decided_by: string | null;
  decision: Enums["access_review_decision"] | null;
  id: string;
  note: string | null;
  organization_id: string;
  outcome: Enums["access_review_outcome"] | null;
  review_id: string;
  user_id: string;
}

export interface AccessReviewsRow {
  closed_at: string | null;
  closed_by: string | null;
  due_at: string;
  id: string;
  name: string;
  organization_id: string;
  reminded_at: string | null;
  reviewers: string[];
  started_at: string;
  started_by: string | null;
}

export interface ApiKeyPoliciesRow {
  allowed: boolean;
  decided_with_mfa: boolean;
  max_days: number | null;
  organization_id: string;
  updated_at: string;
  updated_by: string | null;
}

export interface ApiKeysRow {
  created_at: string;
  environment: string;
  expires_at: string;
  first_characters: string;
  id: string;
  issued_with_mfa: boolean;
  name: string;
  networks: string[] | null;
  organization_id: string;
  owner_id: string;
  rate_limit_rule: string;
  revoked_at: string | null;
  revoked_because: string | null;
  revoked_by: string | null;
  rotated_from: string | null;
  scopes: string[];
}

export interface AuditArchiveFilesRow {
  after: string | null;
  bytes: number;
  cursor: string;
  entries: number;
  etag: string;
  key: string;
  month: string;
  number: number;
  organization_id: string | null;
  parquet_bytes: number;
  parquet_etag: string;
  parquet_key: string;
  parquet_sha256: string;
  place: string;
  removed: number;
  sha256: string;
  snapshot: string;
  verified_at: string;
}

export interface AuditArchivedLogsRow {
  archived_at: string | null;
  entries: number;
  exported_through: number;
  first_seal: number;
  from_month: string;
  last_hash: string;
  last_seal: number;
  month: string;
  organization_id: string | null;
}

export interface AuditArchivesRow {
  archived_at: string | null;
  begun_at: string;
  checked_through: number;
  dropped: number | null;
  end_id: string;
  first_seal: number;
  from_month: string;
  holds_checked: string[] | null;
  holds_checked_through: string | null;
  last_seal: number;
  month: string;
  record_id: string | null;
  seal_hash: string;
}

export interface AuditCheckpointsRow {
  delivered_at: string | null;
  key_id: string;
  note: string;
  root_hash: string;
  signed_at: string;
  tree_size: number;
}

export interface AuditEventTypesRow {
  description: string;
  name: string;
  reported_by_clients: boolean;
  severity: Enums["audit_severity"];
}

export interface AuditKeysRow {
  key_id: string;
  name: string;
  public_key: string;
  registered_at: string;
}

export interface AuditLegalHoldsRow {
  id: string;
  organization_id: string | null;
  placed_at: string;
  placed_by: string | null;
  placed_by_operator: boolean;
  reason: string;
  released_at: string | null;
  released_by: string | null;
  resource_id: string | null;
  resource_type: string | null;
  subject_id: string | null;
}

export interface AuditLogsRow {
  action: string | null;
  actor_id: string | null;
  actor_type: Enums["audit_actor_type"] | null;
  after: Json | null;
  before: Json | null;
  commitment: string | null;
  correlation_id: string | null;
  database_user: string | null;
  details: Json | null;
  event_type: string;
  id: string;
  ip: string | null;
  occurred_at: string;
  organization_id: string | null;
  parent_id: string | null;
  removed_by: string | null;
  resource_id: string | null;
  resource_type: string | null;
  result: Enums["audit_result"];
  salt: string | null;
  session_id: string | null;
  severity: Enums["audit_severity"];
  source: Enums["audit_source"];
  timeline: number;
  user_agent: string | null;
  xid: string;
}

export interface AuditRestoredLogsRow {
  action: string | null;
  actor_id: string | null;
  actor_type: Enums["audit_actor_type"] | null;
  after: Json | null;
  before: Json | null;
  commitment: string | null;
  correlation_id: string | null;
  database_user: string | null;
  details: Json | null;
  event_type: string;
  id: string;
  ip: string | null;
  month: string;
  occurred_at: string;
  organization_id: string | null;
  parent_id: string | null;
  removed_by: string | null;
  resource_id: string | null;
  resource_type: string | null;
  restored_at: string;
  result: Enums["audit_result"];
  salt: string | null;
  session_id: string | null;
  severity: Enums["audit_severity"];
  source: Enums["audit_source"];
  timeline: number;
  user_agent: string | null;
  xid: string;
}

export interface InvitationsRow {
  accepted_at: string | null;
  accepted_by: string | null;
  created_at: string;
  declined: boolean;
  email: string;
  expires_at: string;
  id: string;
  invited_by: string | null;
  organization_id: string;
  revoked_at: string | null;
  role_expires_at: string | null;
  role_id: string;
}

export interface MfaPoliciesRow {
  approval_until: string | null;
  id: string;
  organization_id: string | null;
  required_from: string | null;
  reset_needs_approval: boolean;
  updated_at: string;
  updated_by: string | null;
}

export interface MfaResetsRow {
  cancelled_at: string | null;
  completed_at: string | null;
  expires_at: string;
  id: string;
  organization_id: string | null;
  reason: string;
  requested_at: string;
  requested_by: string | null;
  user_id: string;
}

export interface MfaUsageLogRow {
  event: string;
  factor_id: string | null;
  id: number;
  occurred_at: string;
  session_id: string | null;
  succeeded: boolean;
  user_id: string;
}

export interface OrganizationsRow {
  created_at: string;
  created_by: string | null;
  id: string;
  name: string;
  self_service: boolean;
  slug: string;
  updated_at: string;
}

export interface PermissionsRow {
  description: string;
  name: string;
}

export interface RateLimitBlocksRow {
  api_key_id: string | null;
  blocked_at: string;
  expires_at: string;
  id: string;
  identifier: string;
  kind: string;
  lifted_at: string | null;
  lifted_by: string | null;
  organization_id: string | null;
  rule: string;
  step: number;
  user_id: string | null;
}

export interface RateLimitNetworksRow {
  created_at: string;
  created_by: string | null;
  expires_at: string | null;
  network: string;
  reason: string;
  verdict: Enums["network_verdict"];
}

export interface RateLimitOverridesRow {
  api_key_id: string | null;
  capacity: number;
  emission_us: number;
  id: string;
  organization_id: string | null;
  rule: string;
  scope: number;
  window_seconds: number;
}

export interface RateLimitRulesRow {
  capacity: number;
  description: string;
  emission_us: number;
  identified_by: Enums["rate_limit_subject"];
  name: string;
  raises: string | null;
  scope: number;
  tolerance_us: number;
  when_store_fails: Enums["rate_limit_failure"];
  window_seconds: number;
}

export interface RoleInheritanceRow {
  inherits_role_id: string;
  role_id: string;
}

export interface RolePermissionsRow {
  permission: string;
  role_id: string;
}

export interface RolesRow {
  created_at: string;
  created_by: string | null;
  description: string;
  id: string;
  level: number;
  name: string;
  organization_id: string | null;
  updated_at: string;
}

export interface SecurityEventTypesRow {
  description: string;
  name: string;
  severity: Enums["security_severity"];
}

export interface SecurityEventsRow {
  assigned_to: string | null;
  details: Json;
  event_type: string;
  id: string;
  last_seen_at: string;
  occurrences: number;
  organization_id: string | null;
  raised_at: string;
  resolution_note: string | null;
  resolved_at: string | null;
  resolved_by: string | null;
  severity: Enums["security_severity"];
  subject: string;
  user_id: string | null;
}

export interface UserRolesRow {
  created_at: string;
  expires_at: string | null;
  granted_by: string | null;
  id: string;
  organization_id: string | null;
  role_id: string;
  source: string;
  starts_at: string;
  updated_at: string;
  user_id: string;
}

export interface WebhookAttemptsRow {
  delivery_id: string;
  id: string;
  latency_ms: number | null;
  number: number;
  outcome: Enums["webhook_outcome"];
  response: string | null;
  started_at: string;
  status: number | null;
  worker: string;
}

export interface WebhookDeliveriesRow {
  attempt_id: string | null;
  attempts: number;
  attempts_before: number;
  claimed_at: string | null;
  claimed_by: string | null;
  due_at: string;
  endpoint_id: string;
  event_id: string;
  event_type: string;
  finished_at: string | null;
  id: string;
  occurred_at: string;
  ordering_key: string | null;
  organization_id: string | null;
  sequence: number;
  severity: Enums["audit_severity"];
  source: Enums["webhook_source"];
  status: Enums["webhook_delivery_status"];
}

export interface WebhookEndpointHealthRow {
  consecutive_failures: number;
  consecutive_timeouts: number;
  endpoint_id: string;
  failing_since: string | null;
  last_failure_at: string | null;
  proven: boolean;
}

export interface WebhookEndpointsRow {
  created_at: string;
  created_by: string | null;
  disabled_at: string | null;
  disabled_reason: string | null;
  every_organization: boolean;
  follow_redirects: boolean;
  format: Enums["webhook_format"];
  id: string;
  include_details: boolean;
  name: string;
  ordering: Enums["webhook_ordering"];
  organization_id: string | null;
  origin: string;
  updated_at: string;
}

export interface WebhookSubscriptionsRow {
  endpoint_id: string;
  minimum_severity: Enums["audit_severity"];
  open_ended: boolean;
  pattern: string;
  scope: string;
  stem: string;
}

/** Rows of the tables that signed-in users may read, with the columns open to them. */
export interface Rows {
  access_review_items: AccessReviewItemsRow;
  access_reviews: AccessReviewsRow;
  api_key_policies: ApiKeyPoliciesRow;
  api_keys: ApiKeysRow;
  audit_archive_files: AuditArchiveFilesRow;
  audit_archived_logs: AuditArchivedLogsRow;
  audit_archives: AuditArchivesRow;
  audit_checkpoints: AuditCheckpointsRow;
  audit_event_types: AuditEventTypesRow;
  audit_keys: AuditKeysRow;
  audit_legal_holds: AuditLegalHoldsRow;
  audit_logs: AuditLogsRow;
  audit_restored_logs: AuditRestoredLogsRow;
  invitations: InvitationsRow;
  mfa_policies: MfaPoliciesRow;
  mfa_resets: MfaResetsRow;
  mfa_usage_log: MfaUsageLogRow;
  organizations: OrganizationsRow;
  permissions: PermissionsRow;
  rate_limit_blocks: RateLimitBlocksRow;
  rate_limit_networks: RateLimitNetworksRow;
  rate_limit_overrides: RateLimitOverridesRow;
  rate_limit_rules: RateLimitRulesRow;
  role_inheritance: RoleInheritanceRow;
  role_permissions: RolePermissionsRow;
  roles: RolesRow;
  security_event_types: SecurityEventTypesRow;
  security_events: SecurityEventsRow;
  user_roles: UserRolesRow;
  webhook_attempts: WebhookAttemptsRow;
  webhook_deliveries: WebhookDeliveriesRow;
  webhook_endpoint_health: WebhookEndpointHealthRow;
  webhook_endpoints: WebhookEndpointsRow;
  webhook_subscriptions: WebhookSubscriptionsRow;
}

/** The functions that signed-in users may execute. */
export interface Functions {
  accept_invitation: {
    Args: {
      token: string;
    };
    Returns: Rows["user_roles"];
  };
  accept_my_invitation: {
    Args: {
      invitation_id: string;
    };
    Returns: Rows["user_roles"];
  };
  api_key_options: {
    Args: {
      organization_id: string;
    };
    Returns: Json;
  };
  approve_mfa_reset: {
    Args: {
      reset_id: string;
    };
    Returns: boolean;
  };
  assign_security_event: {
    Args: {
      assignee: string;
      event_id: string;
    };
    Returns: Rows["security_events"];
  };
  audit_consistency_proof: {
    Args: {
      from_size: number;
      to_size: number;
    };
    Returns: Json;
  };
  audit_coverage: {
    Args: {
      organization_id?: string | null | undefined;
    };
    Returns: {
      delivered_until: string;
      newest_entry: string;
      sealed_entries: number;
      sealed_until: string;
      signed_entries: number;
      signed_until: string;
    }[];
  };
  audit_group_nodes: {
    Args: {
      first: number;
      last: number;
      organization_id?: string | null | undefined;
      seal: number;
    };
    Returns: Json;
  };
  audit_histogram: {
    Args: {
      actor_id?: string | null | undefined;
      before?: string | null | undefined;
      bucket?: string | undefined;
      event_types?: readonly string[] | null | undefined;
      group_by?: string | null | undefined;
      organization_id?: string | null | undefined;
      resource_id?: string | null | undefined;
      search?: string | null | undefined;
      severities?: readonly Enums["audit_severity"][] | null | undefined;
      since?: string | null | undefined;
      until?: string | null | undefined;
    };
    Returns: Json;
  };
  audit_inclusion_proof: {
    Args: {
      entry_id: string;
    };
    Returns: Json;
  };
  audit_period: {
    Args: {
      organization_id?: string | null | undefined;
      since?: string | null | undefined;
      until?: string | null | undefined;
    };
    Returns: {
      after: string;
      entries: number;
      through: string;
    }[];
  };
  audit_status: {
    Args: Record<PropertyKey, never>;
    Returns: Json;
  };
  authorize_field_access: {
    Args: {
      action: string;
      columns: readonly string[];
      organization_id?: string | null | undefined;
      primary_keys: readonly string[];
      table_name: string;
    };
    Returns: undefined;
  };
  begin_backup_codes: {
    Args: Record<PropertyKey, never>;
    Returns: string;
  };
  begin_mfa_attempt: {
    Args: {
      purpose: string;
    };
    Returns: string;
  };
  begin_mfa_enrolment: {
    Args: Record<PropertyKey, never>;
    Returns: {
      account: string;
      factor_id: string;
      issuer: string;
      user_id: string;
    }[];
  };
  cancel_mfa_reset: {
    Args: {
      reset_id: string;
    };
    Returns: undefined;
  };
  check_health: {
    Args: Record<PropertyKey, never>;
    Returns: {
      healthy: boolean;
      name: string;
      seconds: number;
    }[];
  };
  check_permissions: {
    Args: {
      organization_id?: string | null | undefined;
      permissions: readonly string[];
    };
    Returns: {
      allowed: boolean;
      permission: string;
    }[];
  };
  check_request: {
    Args: Record<PropertyKey, never>;
    Returns: undefined;
  };
  clear_rate_limit: {
    Args: {
      api_key_id?: string | null | undefined;
      organization_id?: string | null | undefined;
      rule: string;
    };
    Returns: undefined;
  };
  close_access_review: {
    Args: {
      review_id: string;
    };
    Returns: Json;
  };
  compliance_report: {
    Args: {
      organization_id: string;
      since?: string | null | undefined;
      until?: string | null | undefined;
    };
    Returns: Json;
  };
  create_api_key: {
    Args: {
      environment?: string | undefined;
      expires_at?: string | null | undefined;
      name: string;
      networks?: readonly string[] | null | undefined;
      organization_id: string;
      rate_limit_rule?: string | undefined;
      scopes: readonly string[];
    };
    Returns: CompositeTypes["issued_api_key"];
  };
  create_organization: {
    Args: {
      administrator_id?: string | null | undefined;
      name: string;
      slug: string;
    };
    Returns: Rows["organizations"];
  };
  create_role: {
    Args: {
      description?: string | undefined;
      inherits?: readonly string[] | undefined;
      name: string;
      organization_id: string;
      permissions?: readonly string[] | undefined;
    };
    Returns: Rows["roles"];
  };
  create_webhook_endpoint: {
    Args: {
      destination: string;
      every_organization?: boolean | undefined;
      follow_redirects?: boolean | undefined;
      format?: Enums["webhook_format"] | undefined;
      id: string;
      include_details?: boolean | undefined;
      name: string;
      ordering?: Enums["webhook_ordering"] | undefined;
      organization_id: string;
      origin: string;
      secret: string;
      secret_id: string;
      subscriptions: Json;
    };
    Returns: Rows["webhook_endpoints"];
  };
  current_person: {
    Args: Record<PropertyKey, never>;
    Returns: string;
  };
  decide_access: {
    Args: {
      decision: Enums["access_review_decision"];
      item_id: string;
      note?: string | null | undefined;
      version?: string | null | undefined;
    };
    Returns: Rows["access_review_items"];
  };
  decline_invitation: {
    Args: {
      invitation_id: string;
    };
    Returns: undefined;
  };
  delete_alert_rule: {
    Args: {
      name: string;
    };
    Returns: undefined;
  };
  delete_organization: {
    Args: {
      confirm_slug: string;
      organization_id: string;
    };
    Returns: undefined;
  };
  delete_role: {
    Args: {
      organization_id: string;
      role: string;
    };
    Returns: undefined;
  };
  delete_webhook_endpoint: {
    Args: {
      endpoint_id: string;
    };
    Returns: undefined;
  };
  disable_webhook_endpoint: {
    Args: {
      endpoint_id: string;
    };
    Returns: undefined;
  };
  enable_webhook_endpoint: {
    Args: {
      endpoint_id: string;
    };
    Returns: undefined;
  };
  encryption_overview: {
    Args: {
      organization_id?: string | null | undefined;
    };
    Returns: Json;
  };
  encryption_progress: {
    Args: {
      organization_id?: string | null | undefined;
    };
    Returns: {
      column_name: string;
      done: number;
      failed: number;
      finished_at: string;
      of_organization: string;
      purpose: string;
      started_at: string;
      state: string;
      table_name: string;
      total: number;
      updated_at: string;
      version: number;
    }[];
  };
  end_session: {
    Args: {
      session_id: string;
    };
    Returns: undefined;
  };
  erase_subject: {
    Args: {
      after?: string | null | undefined;
      evidence?: boolean | undefined;
      max_entries?: number | undefined;
      max_seconds?: number | undefined;
      organization_id?: string | null | undefined;
      reason: string;
      user_id: string;
    };
    Returns: {
      archived: Json;
      kept: number;
      next_after: string;
      removed: number;
    }[];
  };
  explain_permission: {
    Args: {
      organization_id?: string | null | undefined;
      permission: string;
      user_id: string;
    };
    Returns: {
      allowed: boolean;
      expires_at: string;
      inherited_from: string;
      reason: string;
      role: string;
      starts_at: string;
      system_wide: boolean;
    }[];
  };
  export_audit_log: {
    Args: {
      after?: string | null | undefined;
      organization_id?: string | null | undefined;
      page_size?: number | undefined;
      purpose?: string | null | undefined;
      signed?: boolean | undefined;
      since?: string | null | undefined;
      until?: string | null | undefined;
    };
    Returns: Json;
  };
  export_subject: {
    Args: {
      after?: string | null | undefined;
      organization_id?: string | null | undefined;
      page_size?: number | undefined;
      user_id?: string | null | undefined;
    };
    Returns: Json;
  };
  get_user_roles: {
    Args: {
      organization_id?: string | null | undefined;
      user_id: string;
    };
    Returns: {
      active: boolean;
      expires_at: string;
      granted_by: string;
      level: number;
      role: string;
      starts_at: string;
    }[];
  };
  grant_role: {
    Args: {
      expires_at?: string | null | undefined;
      organization_id?: string | null | undefined;
      role: string;
      starts_at?: string | null | undefined;
      user_id: string;
    };
    Returns: Rows["user_roles"];
  };
  has_permission: {
    Args: {
      organization_id?: string | null | undefined;
      permission: string;
    };
    Returns: boolean;
  };
  invite_member: {
    Args: {
      email: string;
      expires_in?: string | undefined;
      organization_id: string;
      role: string;
      role_expires_at?: string | null | undefined;
    };
    Returns: {
      expires_at: string;
      invitation_id: string;
      token: string;
    }[];
  };
  is_super_admin: {
    Args: Record<PropertyKey, never>;
    Returns: boolean;
  };
  key_encryption_status: {
    Args: Record<PropertyKey, never>;
    Returns: {
      data_keys: number;
      derivation: string;
      id: string;
      is_current: boolean;
    }[];
  };
  leave_organization: {
    Args: {
      organization_id: string;
    };
    Returns: undefined;
  };
  lift_rate_limit_block: {
    Args: {
      block_id: string;
    };
    Returns: Rows["rate_limit_blocks"];
  };
  list_access_review: {
    Args: {
      after?: string | null | undefined;
      page_size?: number | undefined;
      review_id: string;
      undecided?: boolean | undefined;
    };
    Returns: {
      access: Json;
      api_key_id: string;
      decided_at: string;
      decided_by: string;
      decision: Enums["access_review_decision"];
      email: string;
      id: string;
      name: string;
      note: string;
      outcome: Enums["access_review_outcome"];
      user_id: string;
      version: string;
    }[];
  };
  list_alerts: {
    Args: Record<PropertyKey, never>;
    Returns: {
      cool_down: string;
      critical: number;
      description: string;
      enabled: boolean;
      evaluated_at: string;
      labels: Json;
      lasting: string;
      metric: string;
      minimum_count: number;
      name: string;
      raise_without_data: boolean;
      raised_at: string;
      recovering: string;
      since: string;
      state: Enums["alert_state"];
      statistic: Enums["metric_statistic"];
      time_window: string;
      value: number;
      warning: number;
    }[];
  };
  list_api_keys: {
    Args: {
      before?: string | null | undefined;
      include_ended?: boolean | undefined;
      organization_id: string;
      page_size?: number | undefined;
    };
    Returns: {
      created_at: string;
      effective_scopes: string[];
      environment: string;
      expires_at: string;
      first_characters: string;
      id: string;
      last_used_at: string;
      name: string;
      networks: string[];
      owner_id: string;
      rate_limit_rule: string;
      revoked_at: string;
      revoked_because: string;
      revoked_by: string;
      rotated_from: string;
      scopes: string[];
      status: string;
    }[];
  };
  list_invitations: {
    Args: {
      before?: string | null | undefined;
      organization_id: string;
      page_size?: number | undefined;
      states?: readonly string[] | null | undefined;
    };
    Returns: {
      accepted_by: string;
      created_at: string;
      email: string;
      ended_at: string;
      expires_at: string;
      invitation_id: string;
      invited_by: string;
      invited_by_name: string;
      role: string;
      role_expires_at: string;
      state: string;
    }[];
  };
  list_members: {
    Args: {
      after?: string | null | undefined;
      organization_id: string;
      page_size?: number | undefined;
      role?: string | null | undefined;
      search?: string | null | undefined;
    };
    Returns: {
      email: string;
      last_sign_in_at: string;
      member_since: string;
      mfa_enrolled: boolean;
      name: string;
      page_key: string;
      roles: Json;
      suspended: boolean;
      user_id: string;
    }[];
  };
  list_metrics: {
    Args: Record<PropertyKey, never>;
    Returns: {
      description: string;
      kind: Enums["metric_kind"];
      last_at: string;
      name: string;
      series: number;
      unit: string;
    }[];
  };
  list_names: {
    Args: {
      organization_id: string;
      user_ids: readonly string[];
    };
    Returns: {
      email: string;
      is_member: boolean;
      name: string;
      user_id: string;
    }[];
  };
  list_network: {
    Args: {
      expires_at?: string | null | undefined;
      network: string;
      reason: string;
      verdict: Enums["network_verdict"];
    };
    Returns: Rows["rate_limit_networks"];
  };
  list_security_events: {
    Args: {
      assignee?: string | null | undefined;
      before?: string | null | undefined;
      include_resolved?: boolean | undefined;
      minimum_severity?: Enums["security_severity"] | undefined;
      organization_id?: string | null | undefined;
      page_size?: number | undefined;
      state?: string | null | undefined;
      unassigned?: boolean | undefined;
    };
    Returns: Rows["security_events"][];
  };
  list_settings: {
    Args: Record<PropertyKey, never>;
    Returns: {
      accepts: Json;
      description: string;
      name: string;
      value: Json;
    }[];
  };
  log_audit_event: {
    Args: {
      action?: string | null | undefined;
      actor_id?: string | null | undefined;
      details?: Json | null | undefined;
      event_type: string;
      organization_id?: string | null | undefined;
      parent_id?: string | null | undefined;
      resource_id?: string | null | undefined;
      resource_type?: string | null | undefined;
      result?: Enums["audit_result"] | undefined;
      severity?: Enums["audit_severity"] | null | undefined;
    };
    Returns: string;
  };
  member_organizations: {
    Args: Record<PropertyKey, never>;
    Returns: string[];
  };
  mfa_compliance: {
    Args: {
      after?: string | null | undefined;
      organization_id: string;
      page_size?: number | undefined;
      state?: string | null | undefined;
    };
    Returns: {
      email: string;
      enrolled: boolean;
      last_sign_in_at: string;
      last_used_at: string;
      locked: boolean;
      locked_until: string;
      name: string;
      overdue: boolean;
      required_from: string;
      suspended: boolean;
      user_id: string;
    }[];
  };
  mfa_required: {
    Args: {
      organization_id?: string | null | undefined;
    };
    Returns: boolean;
  };
  mfa_status: {
    Args: Record<PropertyKey, never>;
    Returns: {
      backup_codes_left: number;
      enrolled: boolean;
      factors: Json;
      locked: boolean;
      native_factors: number;
      satisfied: boolean;
      trusted_devices: Json;
      verified_at: string;
    }[];
  };
  mfa_verified: {
    Args: {
      max_age: string;
    };
    Returns: boolean;
  };
  my_invitations: {
    Args: Record<PropertyKey, never>;
    Returns: {
      created_at: string;
      expires_at: string;
      invitation_id: string;
      invited_by: string;
      invited_by_email: string;
      invited_by_name: string;
      organization_id: string;
      organization_name: string;
      organization_slug: string;
      role: string;
      role_description: string;
      role_expires_at: string;
    }[];
  };
  my_permissions: {
    Args: {
      known_version?: string | null | undefined;
      organization_id?: string | null | undefined;
    };
    Returns: {
      permissions: string[];
      version: string;
    }[];
  };
  my_sessions: {
    Args: Record<PropertyKey, never>;
    Returns: {
      created_at: string;
      id: string;
      ip: string;
      is_current: boolean;
      mfa_verified_at: string;
      not_after: string;
      refreshed_at: string;
      user_agent: string;
    }[];
  };
  organization_id: {
    Args: {
      key: string;
    };
    Returns: string;
  };
  organizations_with: {
    Args: {
      permission: string;
    };
    Returns: string[];
  };
  place_legal_hold: {
    Args: {
      organization_id?: string | null | undefined;
      reason: string;
      resource_id?: string | null | undefined;
      resource_type?: string | null | undefined;
      subject_id?: string | null | undefined;
    };
    Returns: string;
  };
  present_trusted_device: {
    Args: {
      token: string;
    };
    Returns: boolean;
  };
  preview_invitation: {
    Args: {
      token: string;
    };
    Returns: {
      email: string;
      expires_at: string;
      invitation_id: string;
      invited_by_name: string;
      is_mine: boolean;
      organization_name: string;
      role: string;
      role_expires_at: string;
    }[];
  };
  preview_webhook_delivery: {
    Args: {
      endpoint_id: string;
      event_id: string;
    };
    Returns: Json;
  };
  rate_limit_caller: {
    Args: Record<PropertyKey, never>;
    Returns: {
      api_key_id: string;
      organization_id: string;
      user_id: string;
    }[];
  };
  rate_limit_usage: {
    Args: {
      organization_id: string;
    };
    Returns: Json;
  };
  read_metric: {
    Args: {
      group_by?: string | null | undefined;
      labels?: Json | undefined;
      metric: string;
      since?: string | undefined;
      step?: string | null | undefined;
      until?: string | undefined;
    };
    Returns: {
      at: string;
      count: number;
      label: string;
      last: number;
      maximum: number;
      mean: number;
      minimum: number;
      p50: number;
      p95: number;
      p99: number;
      total: number;
    }[];
  };
  release_legal_hold: {
    Args: {
      hold_id: string;
    };
    Returns: undefined;
  };
  remove_member: {
    Args: {
      organization_id: string;
      user_id: string;
    };
    Returns: undefined;
  };
  remove_mfa_factor: {
    Args: {
      factor_id: string;
    };
    Returns: undefined;
  };
  replay_webhook_deliveries: {
    Args: {
      endpoint_id: string;
      since: string;
      statuses?: readonly Enums["webhook_delivery_status"][] | undefined;
      until: string;
    };
    Returns: number;
  };
  replay_webhook_delivery: {
    Args: {
      delivery_id: string;
    };
    Returns: undefined;
  };
  request_mfa_reset: {
    Args: {
      organization_id?: string | null | undefined;
      reason: string;
      user_id: string;
    };
    Returns: {
      completed: boolean;
      reset_id: string;
    }[];
  };
  require_permission: {
    Args: {
      organization_id: string;
      permission: string;
    };
    Returns: undefined;
  };
  resend_invitation: {
    Args: {
      expires_in?: string | undefined;
      invitation_id: string;
    };
    Returns: {
      expires_at: string;
      new_invitation_id: string;
      token: string;
    }[];
  };
  resolve_security_event: {
    Args: {
      event_id: string;
      note: string;
    };
    Returns: Rows["security_events"];
  };
  retry_reencryption: {
    Args: {
      organization_id?: string | null | undefined;
    };
    Returns: number;
  };
  revoke_api_key: {
    Args: {
      because: string;
      key_id: string;
    };
    Returns: Rows["api_keys"];
  };
  revoke_invitation: {
    Args: {
      invitation_id: string;
    };
    Returns: undefined;
  };
  revoke_role: {
    Args: {
      organization_id?: string | null | undefined;
      role: string;
      user_id: string;
    };
    Returns: undefined;
  };
  revoke_trusted_device: {
    Args: {
      device_id?: string | null | undefined;
    };
    Returns: number;
  };
  rotate_api_key: {
    Args: {
      expires_at?: string | null | undefined;
      key_id: string;
      overlap?: string | undefined;
    };
    Returns: CompositeTypes["issued_api_key"];
  };
  rotate_webhook_secret: {
    Args: {
      endpoint_id: string;
      overlap?: string | undefined;
      secret: string;
      secret_id: string;
    };
    Returns: string;
  };
  scrape_metrics: {
    Args: Record<PropertyKey, never>;
    Returns: Json;
  };
  search_audit_logs: {
    Args: {
      actor_id?: string | null | undefined;
      before?: string | null | undefined;
      correlation_id?: string | null | undefined;
      event_types?: readonly string[] | null | undefined;
      max_entries?: number | undefined;
      organization_id?: string | null | undefined;
      page_size?: number | undefined;
      resource_id?: string | null | undefined;
      resource_type?: string | null | undefined;
      results?: readonly Enums["audit_result"][] | null | undefined;
      search?: string | null | undefined;
      severities?: readonly Enums["audit_severity"][] | null | undefined;
      since?: string | null | undefined;
      until?: string | null | undefined;
    };
    Returns: Json;
  };
  send_test_webhook: {
    Args: {
      endpoint_id: string;
    };
    Returns: string;
  };
  set_alert_rule: {
    Args: {
      cool_down?: string | undefined;
      critical?: number | null | undefined;
      description?: string | undefined;
      enabled?: boolean | undefined;
      labels?: Json | undefined;
      lasting?: string | undefined;
      metric: string;
      minimum_count?: number | undefined;
      name: string;
      raise_without_data?: boolean | undefined;
      recovering?: string | undefined;
      statistic: Enums["metric_statistic"];
      time_window?: string | undefined;
      warning?: number | null | undefined;
    };
    Returns: undefined;
  };
  set_api_key_policy: {
    Args: {
      allowed: boolean;
      max_days?: number | null | undefined;
      organization_id: string;
    };
    Returns: Rows["api_key_policies"];
  };
  set_member_roles: {
    Args: {
      organization_id: string;
      roles: readonly string[];
      user_id: string;
    };
    Returns: Rows["user_roles"][];
  };
  set_mfa_policy: {
    Args: {
      grace_period?: string | null | undefined;
      organization_id: string;
      required: boolean;
      reset_needs_approval?: boolean | undefined;
    };
    Returns: Rows["mfa_policies"];
  };
  set_rate_limit: {
    Args: {
      api_key_id?: string | null | undefined;
      capacity: number;
      organization_id?: string | null | undefined;
      rule: string;
      window_seconds: number;
    };
    Returns: undefined;
  };
  set_setting: {
    Args: {
      name: string;
      value: Json;
    };
    Returns: undefined;
  };
  set_webhook_destination: {
    Args: {
      destination: string;
      endpoint_id: string;
      origin: string;
    };
    Returns: undefined;
  };
  shred_organization: {
    Args: {
      confirm_slug: string;
      organization_id: string;
    };
    Returns: number;
  };
  start_access_review: {
    Args: {
      due_at: string;
      name: string;
      organization_id: string;
      reviewers: readonly string[];
    };
    Returns: Rows["access_reviews"];
  };
  tail_audit_log: {
    Args: {
      after?: string | null | undefined;
      organization_id?: string | null | undefined;
      page_size?: number | undefined;
    };
    Returns: Json;
  };
  top_queries: {
    Args: {
      page_size?: number | undefined;
    };
    Returns: {
      calls: number;
      maximum_ms: number;
      mean_ms: number;
      query: string;
      returned_rows: number;
      share: number;
      total_ms: number;
    }[];
  };
  trust_device: {
    Args: {
      name: string;
    };
    Returns: {
      device_id: string;
      expires_at: string;
      token: string;
    }[];
  };
  unlist_network: {
    Args: {
      network: string;
    };
    Returns: undefined;
  };
  update_organization: {
    Args: {
      name?: string | null | undefined;
      organization_id: string;
      slug?: string | null | undefined;
    };
    Returns: Rows["organizations"];
  };
  update_role: {
    Args: {
      description?: string | null | undefined;
      inherits?: readonly string[] | null | undefined;
      name?: string | null | undefined;
      organization_id: string;
      permissions?: readonly string[] | null | undefined;
      role: string;
    };
    Returns: Rows["roles"];
  };
  update_webhook_endpoint: {
    Args: {
      endpoint_id: string;
      follow_redirects?: boolean | null | undefined;
      include_details?: boolean | null | undefined;
      name?: string | null | undefined;
      ordering?: Enums["webhook_ordering"] | null | undefined;
      subscriptions?: Json | null | undefined;
    };
    Returns: Rows["webhook_endpoints"];
  };
  user_has_permission: {
    Args: {
      organization_id?: string | null | undefined;
      permission: string;
      user_id: string;
    };
    Returns: boolean;
  };
  verify_audit_log: {
    Args: {
      after_seal?: number | null | undefined;
      max_entries?: number | undefined;
      max_seconds?: number | undefined;
      organization_id?: string | null | undefined;
      since?: string | null | undefined;
      until?: string | null | undefined;
    };
    Returns: {
      complete: boolean;
      detail: string;
      entries_checked: number;
      entry: string;
      first_seal: number;
      intact: boolean;
      last_seal: number;
      next_after_seal: number;
      payloads_removed: number;
      problem: string;
      problems: number;
      seal: number;
      seals_checked: number;
    }[];
  };
  webhook_stats: {
    Args: {
      organization_id?: string | null | undefined;
      since?: string | null | undefined;
    };
    Returns: {
      attempts: number;
      counted_since: string;
      dead: number;
      delivered: number;
      endpoint_id: string;
      failing_since: string;
      last_delivered_at: string;
      name: string;
      oldest_pending_at: string;
      p50_ms: number;
      p95_ms: number;
      pending: number;
      state: string;
    }[];
  };
  whoami: {
    Args: {
      known_version?: string | null | undefined;
    };
    Returns: Json;
  };
}

export interface Enums {
  access_review_decision: "keep" | "end";
  access_review_outcome: "kept" | "ended" | "gone";
  alert_state: "ok" | "no_data" | "warning" | "critical";
  audit_actor_type: "user" | "api_key" | "service" | "anonymous" | "database";
  audit_result: "success" | "failure" | "partial";
  audit_severity: "debug" | "info" | "warning" | "error" | "critical";
  audit_source: "table" | "auth" | "client" | "service" | "system";
  metric_kind: "counter" | "gauge" | "histogram";
  metric_statistic:
    | "p50"
    | "p95"
    | "p99"
    | "mean"
    | "minimum"
    | "maximum"
    | "last"
    | "rate"
    | "total";
  network_verdict: "allow" | "block";
  rate_limit_failure: "open" | "closed";
  rate_limit_subject: "caller" | "user_or_key" | "address_and_account";
  security_severity: "low" | "medium" | "high" | "critical";
  webhook_delivery_status: "pending" | "delivered" | "dead";
  webhook_format: "json" | "slack" | "pagerduty";
  webhook_ordering: "none" | "resource" | "endpoint";
  webhook_outcome:
    | "delivered"
    | "rejected"
    | "timed_out"
    | "unreachable"
    | "forbidden"
    | "unreadable"
    | "lost";
  webhook_source: "audit" | "security" | "test" | "invitation";
}

export interface CompositeTypes {
  issued_api_key: {
    id: string | null;
    api_key: string | null;
    name: string | null;
    first_characters: string | null;
    scopes: string[] | null;
    expires_at: string | null;
  };
  rate_limit_decision: {
    allowed: boolean | null;
    reason: string | null;
    rule: string | null;
    capacity: number | null;
    window_seconds: number | null;
    remaining: number | null;
    reset_seconds: number | null;
    retry_after_seconds: number | null;
    when_store_fails: Enums["rate_limit_failure"] | null;
    admitted: number | null;
  };
}
