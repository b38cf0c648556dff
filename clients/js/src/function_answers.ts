import type { BulwarkCode } from "./generated/codes.ts";
import type { Enums, Rows } from "./generated/database.ts";
import type { Simplify } from "./result.ts";
import type { WebhookPreview } from "./shapes.ts";

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
  "bulwark-webhooks/endpoints/<id>/preview": WebhookPreview & {
    /** The text that would be sent, in the endpoint's format. */
    body: string;
  };
  "bulwark-webhooks/endpoints/<id>/rotate": { secret: string; previous_until: string };
  "bulwark-webhooks/endpoints/<id>/test": {
    delivery_id: string;
    outcome: Enums["webhook_outcome"] | null;
    status?: number | null;
    latency_ms?: number | null;
    response?: string | null;
  };
}
