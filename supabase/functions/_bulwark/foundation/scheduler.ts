import { carriesSecret } from "./credentials.ts";
import { BulwarkError } from "./errors.ts";
import type { Handler } from "./http.ts";
import type { Limit } from "../rate_limits/mod.ts";

/** How long a call of the scheduler may wait for the Data API. */
export const schedulerTimeoutMs = 60_000;

/**
 * Guard for what only the scheduler calls: passes when the request carries the scheduler's secret as
 * its bearer, and nobody where the secret is not set or has less than 32 characters. Whoever carries
 * something else is limited like everybody, and refused before anything is read.
 * @throws BulwarkError 401 UNAUTHORIZED
 */
export function forScheduler(limit: Limit, secret: string | null, handler: Handler): Handler {
  const refuse = limit("api_default", () => {
    throw new BulwarkError(401, "UNAUTHORIZED", "Cannot proceed: this is for the scheduler alone");
  });
  return (request) => carriesSecret(request, [secret]) ? handler(request) : refuse(request);
}
