import { fromDeno, type GetVariable } from "../foundation/env.ts";
import { type RateLimitEnv, readRateLimitEnv } from "../rate_limits/env.ts";

/** The environment of the function `bulwark-api-keys`. */
export interface ApiKeysEnv extends RateLimitEnv {
  /** The private JWK that signs tokens; null: the legacy secret does. */
  jwtSigningKey: string | null;
  /** The legacy JWT secret; without either of them no key is exchanged. */
  jwtSecret: string | null;
  /** The public keys of secret scanners, in GitHub's form; null: fetched from the endpoint. */
  scannerKeys: string | null;
  /** The endpoint with the public keys of secret scanners. */
  scannerKeysUrl: string;
}

/** @throws Error naming the variable that is missing or has no valid form */
export function readApiKeysEnv(get: GetVariable = fromDeno): ApiKeysEnv {
  return {
    ...readRateLimitEnv(get),
    jwtSigningKey: get("BULWARK_JWT_SIGNING_KEY") || null,
    jwtSecret: get("BULWARK_JWT_SECRET") || null,
    scannerKeys: get("BULWARK_SCANNER_KEYS") || null,
    scannerKeysUrl: get("BULWARK_SCANNER_KEYS_URL") ||
      "https://api.github.com/meta/public_keys/secret_scanning",
  };
}
