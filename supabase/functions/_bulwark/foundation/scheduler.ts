import { carriesSecret } from "./credentials.ts";
import { BulwarkError } from "./errors.ts";
import type { Handler } from "./http.ts";
import type { Limit } from "../rate_limits/mod.ts";

/** How long a call of the scheduler may wait for the Data API. */
export const schedulerTimeoutMs = 60_000;

/**
 * A handler for the scheduler only: the request's bearer must be the scheduler's secret, which has at
 * least 32 characters. Other callers are rate-limited and refused before the body is read; all are, if
 * no secret is set.
 * @throws BulwarkError 401 UNAUTHORIZED
 */
export function forScheduler(limit: Limit, secret: string | null, handler: Handler): Handler {
  const refuse = limit("api_default", () => {
    throw new BulwarkError(401, "UNAUTHORIZED", "Cannot proceed: this is for the scheduler alone");
  });
  return (request) => carriesSecret(request, [secret]) ? handler(request) : refuse(request);
}
