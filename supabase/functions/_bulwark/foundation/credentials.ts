/**
 * Reads the credentials of a request in one place, so that the caller that is rate-limited is the one
 * that is served. Nothing is verified here.
 */
import { createHash } from "node:crypto";
import { constantTimeEqual } from "./constant_time.ts";

/** Shorter secrets are refused. */
const minimumLength = 32;

/**
 * The bearer credential of the header Authorization (RFC 6750, section 2.1); null if there is none, or
 * more than one.
 */
export function bearerOf(request: Request): string | null {
  return /^Bearer +([\x21-\x7e]+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? null;
}

/**
 * The JSON Web Token of a request: three parts in base64url without padding (RFC 7515, section 7.1).
 * Verifiers differ in what else they accept, so this text is passed on and not the original header.
 */
export function tokenOf(request: Request): string | null {
  const bearer = bearerOf(request);
  return bearer && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(bearer) ? bearer : null;
}

/**
 * Whether a request's bearer is one of these secrets (the scheduler's, the scraper's token, the secret
 * key). Compares in constant time. Null and secrets of less than 32 characters match nothing.
 */
export function carriesSecret(request: Request, secrets: readonly (string | null)[]): boolean {
  const given = bearerOf(request) ?? "";
  const digest = (text: string) => createHash("sha256").update(text).digest("hex");
  const found = secrets.map((secret) =>
    constantTimeEqual(digest(given), digest(secret ?? "")) && secret !== null &&
    secret.length >= minimumLength
  );
  return found.includes(true);
}
