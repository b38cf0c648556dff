import { createHash, timingSafeEqual } from "node:crypto";

/** Less than this can be guessed. */
const minimumLength = 32;

/**
 * Whether a request carries one of these as its bearer token: the scraper's token, the secret key.
 * Takes as long for a wrong one as for the right one; null, and what has less than 32 characters,
 * nobody carries.
 */
export function carriesToken(request: Request, tokens: readonly (string | null)[]): boolean {
  const given = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const found = tokens.map((token) =>
    timingSafeEqual(digest(given), digest(token ?? "")) && token !== null &&
    token.length >= minimumLength
  );
  return found.includes(true);
}
