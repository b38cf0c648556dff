import { type EncryptionEnv, readEncryptionEnv } from "../encryption/env.ts";
import { fromDeno, type GetVariable } from "../foundation/env.ts";

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
