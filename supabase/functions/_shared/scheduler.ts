import { createHash, timingSafeEqual } from "node:crypto";
import { BulwarkError } from "./errors.ts";

/** Less than this can be guessed. */
const minimumLength = 32;

/**
 * Guard for what only the scheduler calls: passes when the request carries the scheduler's secret as
 * its bearer token. Takes as long for a wrong one as for the right one, and passes nobody where the
 * secret is not set or has less than 32 characters.
 * @throws BulwarkError 401 UNAUTHORIZED
 */
export function requireScheduler(request: Request, secret: string | null): void {
  const given = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const same = timingSafeEqual(digest(given), digest(secret ?? ""));
  if (!same || !secret || secret.length < minimumLength) {
    throw new BulwarkError(401, "UNAUTHORIZED", "Cannot proceed: this is for the scheduler alone");
  }
}
