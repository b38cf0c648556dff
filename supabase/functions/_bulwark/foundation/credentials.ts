/**
 * Reads the credentials of a request, in one place, so that the caller that is limited is the one that
 * is served. Nothing here is verified.
 */
import { createHash } from "node:crypto";
import { constantTimeEqual } from "./bytes.ts";

/** Less than this can be guessed. */
const minimumLength = 32;

/**
 * The credential of the header Authorization in the scheme Bearer (RFC 6750, section 2.1); null where
 * there is none, or more than one.
 */
export function bearerOf(request: Request): string | null {
  return /^Bearer +([\x21-\x7e]+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? null;
}

/**
 * The JSON Web Token that a request carries, in the one form that it may have (RFC 7515, section 7.1:
 * three parts in base64url without padding). Verifiers differ in what else they accept; what is passed
 * on is this text and no header as it came.
 */
export function tokenOf(request: Request): string | null {
  const bearer = bearerOf(request);
  return bearer && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(bearer) ? bearer : null;
}

/**
 * Whether a request carries one of these secrets as its bearer: the scheduler's, the scraper's token,
 * the secret key. Takes as long for a wrong one as for the right one; null, and what has less than 32
 * characters, nobody carries.
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
