/** The inputs of the edge functions, by path. */
export interface Inputs {
  "bulwark-audit/proof": { id: string };
  "bulwark-audit/proof/consistency": { from: number; to: number };
  "bulwark-audit/export": {
    format?: "ndjson" | "csv" | "json" | "ocsf" | undefined;
    organization_id?: string | null | undefined;
    cursor?: string | null | undefined;
    limit?: number | undefined;
    /** Recorded with the export, as it is given */
    purpose?: string | null | undefined;
  };
  "bulwark-encryption/encrypt": {
    table: string;
    organization_id?: string | null | undefined;
    rows: ReadonlyArray<{ primary_key: string; fields: { [name: string]: string | null } }>;
  };
  "bulwark-encryption/decrypt": {
    table: string;
    columns: ReadonlyArray<string>;
    primary_keys: ReadonlyArray<string>;
  };
  "bulwark-encryption/find": {
    table: string;
    organization_id?: string | null | undefined;
    column: string;
    value: string;
    /** `next` of the previous answer. */
    cursor?: string | null | undefined;
  };
  "bulwark-encryption/rotate": {
    organization_id?: string | null | undefined;
    purpose?: "field" | "index" | undefined;
  };
  "bulwark-mfa/enroll": { name?: string | undefined };
  "bulwark-mfa/activate": { code: string };
  "bulwark-mfa/verify": { code: string };
  "bulwark-mfa/verify-backup-code": { code: string };
  "bulwark-mfa/backup-codes": Record<string, never>;
  "bulwark-mfa/disable": { factor_id: string } | { backup_code: string };
  "bulwark-mfa/devices": { name?: string | undefined };
  "bulwark-mfa/devices/present": { token: string };
  "bulwark-mfa/devices/revoke": { device_id?: string | undefined };
  "bulwark-mfa/resets": { user_id: string; organization_id?: string | undefined; reason: string };
  "bulwark-mfa/resets/approve": { reset_id: string };
  "bulwark-mfa/resets/cancel": { reset_id: string };
  "bulwark-webhooks/endpoints": {
    /** Null: an endpoint of the installation. */
    organization_id: string | null;
    name: string;
    ordering?: "none" | "resource" | "endpoint" | undefined;
    include_details?: boolean | undefined;
    follow_redirects?: boolean | undefined;
    /** Events of all organizations, for an endpoint of the installation. */
    every_organization?: boolean | undefined;
    subscriptions: ReadonlyArray<
      {
        pattern: string;
        minimum_severity?: "debug" | "info" | "warning" | "error" | "critical" | undefined;
      }
    >;
    url: string;
    format?: "json" | "slack" | undefined;
  } | {
    /** Null: an endpoint of the installation. */
    organization_id: string | null;
    name: string;
    ordering?: "none" | "resource" | "endpoint" | undefined;
    include_details?: boolean | undefined;
    follow_redirects?: boolean | undefined;
    /** Events of all organizations, for an endpoint of the installation. */
    every_organization?: boolean | undefined;
    subscriptions: ReadonlyArray<
      {
        pattern: string;
        minimum_severity?: "debug" | "info" | "warning" | "error" | "critical" | undefined;
      }
    >;
    url: string;
    format: "pagerduty";
    routing_key: string;
  };
  "bulwark-webhooks/endpoints/<id>/destination": { url: string; routing_key?: string | undefined };
  "bulwark-webhooks/endpoints/<id>/rotate": {
    /** At most seven days. */
    overlap_seconds?: number | undefined;
  };
  "bulwark-webhooks/endpoints/<id>/preview": {
    /** An audit entry or a security event. */
    event_id: string;
  };
  "bulwark-compliance/report": {
    organization_id: string;
    since?: string | undefined;
    until?: string | undefined;
  };
}
