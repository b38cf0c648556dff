import type { BulwarkCode } from "./codes.ts";

/** The answers of the edge functions, by path. */
export interface FunctionAnswers {
  "bulwark-audit/checkpoint": {
    tree_size: number | null;
    signed_at: string | null;
    delivered_at: string | null;
    note: string | null;
    /** Newest first. Compare them with a copy kept outside of the database. */
    keys: string[];
  };
  "bulwark-audit/proof": {
    entry: {
      id: string;
      organization_id: string | null;
      timeline: number;
      /** The transaction id, a decimal number of up to 64 bits. */
      xid: string;
      /** RFC 3339 in UTC with microseconds, for people; occurred_at_us is hashed. */
      occurred_at: string;
      /** Microseconds since 2000-01-01T00:00:00Z. */
      occurred_at_us: number;
      source: string;
      severity: string;
      result: string;
      event_type: string;
      resource_type: string | null;
      /** A UUID whose 16 bytes blind the commitment. */
      salt?: string;
      /** The exact JSON text that was committed to. Parse it to read it; never serialize it again. */
      payload?: string;
      /** Left of a payload that was removed. */
      commitment?: string;
      /** The record of the removal. */
      removed_by?: string;
      /** The leaf that was sealed here: it shows whether the entry was altered. */
      leaf?: string | null;
    };
    entry_index: number;
    entry_path: string[];
    group: {
      organization_id: string | null;
      seal: number;
      entry_count: number;
      /** Number of the organization's entries in all earlier groups. */
      entries_before: number;
      /** Hash of the organization's previous group; 32 zero bytes for its first. */
      previous: string;
      /** RFC 6962 root over the leaves of the entries. */
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
      /** Microseconds since 2000-01-01T00:00:00Z. */
      sealed_at_us: number;
      snapshot: string;
      /** Hash of its last entry's position if the next seal continues it; null: it holds the rest. */
      through: string | null;
      hash: string;
    };
    tree_index: number;
    tree_size: number;
    tree_path: string[];
    tree_root: string;
    /** The signed note about the tree; null if no checkpoint covers the entry yet. */
    checkpoint: string | null;
  };
  "bulwark-audit/proof/consistency": {
    from_size: number;
    to_size: number;
    from_root: string;
    to_root: string;
    path: string[];
  };
  "bulwark-encryption/encrypt": {
    rows: ({ primary_key: string; fields: { [name: string]: string | null } })[];
  };
  "bulwark-encryption/decrypt": {
    rows: ({ primary_key: string; fields: { [name: string]: string | null } } | {
      primary_key: string;
      error: { code: BulwarkCode; message: string };
    })[];
  };
  "bulwark-encryption/find": { primary_keys: string[]; next: string | null };
  "bulwark-encryption/rotate": {
    organization_id: string | null;
    purpose: "field" | "index";
    version: number;
  };
  "bulwark-mfa": {
    enrolled: boolean;
    /** Factors of Supabase Auth itself. */
    native_factors: number;
    /** When this session proved a factor. */
    verified_at: string | null;
    /** Whether the session may enter organizations with MFA. */
    satisfied: boolean;
    locked: boolean | null;
    backup_codes_left: number | null;
    factors:
      | ({ id: string; name: string; activated_at: string; last_used_at: string | null })[]
      | null;
    trusted_devices:
      | ({
        id: string;
        name: string;
        created_at: string;
        expires_at: string;
        last_used_at: string | null;
      })[]
      | null;
  };
  "bulwark-mfa/enroll": {
    factor_id: string;
    /** Base32, for typing. */
    secret: string;
    /** The content of the QR code. */
    uri: string;
    qr_svg: string;
  };
  "bulwark-mfa/activate": {
    /** Ten backup codes with the first factor. */
    backup_codes: string[] | null;
  };
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
  "bulwark-webhooks/endpoints": {
    id: string;
    organization_id: string | null;
    name: string;
    format: "json" | "slack" | "pagerduty";
    ordering: "none" | "resource" | "endpoint";
    /** Scheme and host of the address. */
    origin: string;
    include_details: boolean;
    follow_redirects: boolean;
    every_organization: boolean;
    created_at: string;
    created_by: string | null;
    updated_at: string;
    disabled_at: string | null;
    disabled_reason: string | null;
    /** Signs deliveries. */
    secret: string;
  };
  "bulwark-webhooks/endpoints/<id>/rotate": { secret: string; previous_until: string };
  "bulwark-webhooks/endpoints/<id>/test": {
    delivery_id: string;
    /** Null: another worker has taken the sample; the delivery shows its result. */
    outcome:
      | "delivered"
      | "rejected"
      | "timed_out"
      | "unreachable"
      | "forbidden"
      | "unreadable"
      | "lost"
      | null;
    status?: number | null;
    latency_ms?: number | null;
    response?: string | null;
  };
  "bulwark-webhooks/endpoints/<id>/preview": {
    subscribed: boolean;
    enabled: boolean;
    format: "json" | "slack" | "pagerduty";
    event: {
      type: string;
      timestamp: string;
      severity: "debug" | "info" | "warning" | "error" | "critical";
      data: { [name: string]: unknown } | null;
    };
    /** The text that would be sent, in the endpoint's format. */
    body: string;
  };
}
