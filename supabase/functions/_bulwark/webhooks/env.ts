import { type EncryptionEnv, readEncryptionEnv } from "../encryption/env.ts";
import { fromDeno, type GetVariable } from "../foundation/env.ts";

/** How invitations are sent as e-mail; null: they are not, or by another receiver. */
export interface MailEnv {
  /** The signing secret of the endpoint that is told of invitations. */
  secret: string | null;
  /** The provider's API, of the form of Resend's. */
  url: string;
  key: string | null;
  /** The sender, such as `Example <invitations@example.com>`. */
  from: string | null;
}

export function readMailEnv(get: GetVariable = fromDeno): MailEnv {
  return {
    secret: get("BULWARK_MAIL_SECRET") || null,
    url: get("BULWARK_MAIL_URL") || "https://api.resend.com/emails",
    key: get("BULWARK_MAIL_KEY") || null,
    from: get("BULWARK_MAIL_FROM") || null,
  };
}

/** The environment of the function `bulwark-webhooks`. */
export interface WebhookEnv extends EncryptionEnv {
  /** Whether deliveries may go to http and loopback addresses: for development on one machine. */
  allowLoopback: boolean;
}

/** @throws Error naming the variable that is missing */
export function readWebhookEnv(get: GetVariable = fromDeno): WebhookEnv {
  return {
    ...readEncryptionEnv(get),
    allowLoopback: get("BULWARK_WEBHOOKS_ALLOW_LOOPBACK") === "true",
  };
}
