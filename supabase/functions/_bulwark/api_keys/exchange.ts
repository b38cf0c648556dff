import { BulwarkError } from "../foundation/errors.ts";
import { rateLimitHeaders, refusal } from "../rate_limits/headers.ts";
import type { SignToken } from "./signer.ts";
import type { VerifyKey } from "./verification.ts";

/** How long a token is good for, in seconds; no longer than its key. */
const tokenSeconds = 300;

/** What an exchange needs. */
export interface ExchangeParts {
  verify: VerifyKey;
  sign: SignToken;
  /** Who makes the tokens: the function's own URL. */
  issuer: string;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** A request to exchange a key. */
export interface ExchangeRequest {
  /** What was sent as the key; empty where nothing was. */
  apiKey: string;
  /** The client's address as a trusted proxy wrote it. */
  address: string | null;
  correlationId: string;
}

/**
 * Answers with a token of the key: `{ access_token, token_type, expires_in }`. The token's role is
 * api_key and it names the key; what it may is decided from the tables at each request, so it is
 * worth nothing once the key is revoked. It has no subject: a key is nobody to `auth.uid()`.
 * @throws BulwarkError 401 API_KEY_INVALID, the same for every key that is not in force
 */
export async function exchangeKey(
  { verify, sign, issuer, now = Date.now }: ExchangeParts,
  { apiKey, address, correlationId }: ExchangeRequest,
): Promise<Response> {
  let { key, decision } = await verify(apiKey, address);
  const issuedAt = Math.floor(now() / 1000);
  const expires_in = key && Math.min(tokenSeconds, Math.floor(key.expiresAt / 1000) - issuedAt);
  // A key that ends within the second, or ended since it was looked up, makes no token. It is answered
  // as one that never was, also in whose rate the answer shows.
  if (decision.allowed && expires_in !== null && expires_in < 1) {
    ({ key, decision } = await verify("", address));
  }
  if (!decision.allowed) return refusal(decision, correlationId);
  const headers = rateLimitHeaders(decision);
  if (!key || !expires_in) {
    const refused = new BulwarkError(
      401,
      "API_KEY_INVALID",
      "Cannot authenticate: the API key is not valid",
    );
    refused.headers = headers;
    throw refused;
  }
  const access_token = await sign({
    iss: issuer,
    role: "api_key",
    api_key_id: key.apiKeyId,
    organization_id: key.organizationId,
    iat: issuedAt,
    exp: issuedAt + expires_in,
  });
  return Response.json({ access_token, token_type: "bearer", expires_in }, { headers });
}
