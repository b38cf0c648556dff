import type { Cache } from "./cache.ts";
import { type CacheKey, cacheKey, namespaces, ttl } from "./catalog.ts";

/** What somebody holds, under the version that the database gave it. */
interface Held {
  version: string;
  permissions: readonly string[];
}

/** What the database answers: null for permissions where the version is the one asked with. */
export interface HeldAnswer {
  version: string;
  permissions: readonly string[] | null;
}

/** Whose permissions these are. Claims of a token that nobody verified yet: they only find an entry. */
export interface Holder {
  subject: string;
  session: string | null;
}

/**
 * The permissions of a holder, asked for with the version that is cached, so that the answer is
 * either a fresh list or that nothing has changed. Every call asks: whatever was revoked before it
 * is gone from its answer, whichever of several answers was stored last. A cached list is never used
 * without the database having said, to the bearer of a valid token, that its version is the present
 * one; the version names the user, so that no entry answers for another.
 *
 * Kept in the isolate alone. In Redis it would cost a round trip to save none, and whoever can write
 * there could give himself rights.
 */
export async function heldPermissions(
  cache: Cache,
  { subject, session }: Holder,
  organizationId: string | null,
  ask: (knownVersion: string | null) => Promise<HeldAnswer>,
): Promise<ReadonlySet<string>> {
  const key = heldKey({ subject, session }, organizationId);
  const known = await cache.get<Held>(key);
  const answer = await ask(known?.version ?? null);
  if (answer.permissions === null) {
    if (known && known.version === answer.version) return new Set(known.permissions);
    // It left the cache meanwhile, or the answer is to somebody else's question.
    const again = await ask(null);
    return new Set(again.permissions);
  }
  const held: Held = { version: answer.version, permissions: answer.permissions };
  await cache.set(key, held, { ttl: ttl.short, memoryOnly: true });
  return new Set(held.permissions);
}

/** The key of what a holder has in an organization. */
export function heldKey({ subject, session }: Holder, organizationId: string | null): CacheKey {
  return cacheKey(namespaces.userPermissions, subject, session, organizationId);
}
