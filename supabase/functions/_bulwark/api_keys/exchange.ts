import { BulwarkError } from "../foundation/errors.ts";
import { rateLimitHeaders, refusal } from "../rate_limits/headers.ts";
import type { SignToken } from "./signer.ts";
import type { VerifyKey } from "./verification.ts";

/** Lifetime of a token in seconds; never longer than its key's. */
const tokenSeconds = 300;

/** Dependencies of an exchange. */
export interface ExchangeParts {
  verify: VerifyKey;
  sign: SignToken;
  /** The `iss` claim of the tokens: the function's own URL. */
  issuer: string;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** A request to exchange a key. */
export interface ExchangeRequest {
  /** The API key as sent; empty if absent. */
  apiKey: string;
  /** The client's address as a trusted proxy wrote it. */
  address: string | null;
  correlationId: string;
}

/**
 * Answers with a token for the key: `{ access_token, token_type, expires_in }`. The token has the
 * role api_key and names the key. Its permissions are decided from the tables at each request, so
 * it is worthless once the key is revoked. It has no subject: `auth.uid()` is null.
 * @throws BulwarkError 401 API_KEY_INVALID, the same for every key that is not in force
 */
export async function exchangeKey(
  { verify, sign, issuer, now = Date.now }: ExchangeParts,
  { apiKey, address, correlationId }: ExchangeRequest,
): Promise<Response> {
  let { key, decision } = await verify(apiKey, address);
  const issuedAt = Math.floor(now() / 1000);
  const expires_in = key && Math.min(tokenSeconds, Math.floor(key.expiresAt / 1000) - issuedAt);
  // A key with less than a second left gets no token. It is answered and charged like an unknown
  // key.
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
