import { createHash, timingSafeEqual } from "node:crypto";

/** Less than this can be guessed. */
const minimumLength = 32;

/**
 * Whether a request carries the scraper's token. Takes as long for a wrong one as for the right one;
 * nobody has it where none is set, or one of less than 32 characters.
 */
export function carriesScrapeToken(request: Request, token: string | null): boolean {
  const given = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const same = timingSafeEqual(digest(given), digest(token ?? ""));
  return same && token !== null && token.length >= minimumLength;
}
