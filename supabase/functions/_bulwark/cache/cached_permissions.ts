import type { Cache } from "./cache.ts";
import { type CacheKey, cacheKey, namespaces, ttl } from "./catalog.ts";

/** Permissions with the version that the database gave them. */
interface CachedPermissions {
  version: string;
  permissions: readonly string[];
}

/** An answer of the database; permissions are null if the known version is still current. */
export interface PermissionsAnswer {
  version: string;
  permissions: readonly string[] | null;
}

/** Claims of a token that nobody verified yet. They select a cache entry and decide nothing. */
export interface UnverifiedClaims {
  subject: string;
  session: string | null;
}

/**
 * The permissions of a token's user in an organization. Every call asks the database with the cached
 * version: the answer is a new list, or that the version is still current. A cached list is used
 * only after the database has confirmed its version for a valid token, so a revocation counts at
 * once. The version names the user, so no entry answers for another user.
 *
 * Entries stay in the isolate. In Redis they would save no round trip, and anyone who can write
 * there could grant himself permissions.
 */
export async function cachedPermissions(
  cache: Cache,
  { subject, session }: UnverifiedClaims,
  organizationId: string | null,
  ask: (knownVersion: string | null) => Promise<PermissionsAnswer>,
): Promise<ReadonlySet<string>> {
  const key = permissionsKey({ subject, session }, organizationId);
  const known = await cache.get<CachedPermissions>(key);
  const answer = await ask(known?.version ?? null);
  if (answer.permissions === null) {
    if (known && known.version === answer.version) return new Set(known.permissions);
    // The entry was evicted meanwhile, or the version is another user's.
    const again = await ask(null);
    return new Set(again.permissions);
  }
  const fresh: CachedPermissions = { version: answer.version, permissions: answer.permissions };
  await cache.set(key, fresh, { ttl: ttl.short, memoryOnly: true });
  return new Set(fresh.permissions);
}

/** The cache key of a user's permissions in an organization. */
export function permissionsKey(
  { subject, session }: UnverifiedClaims,
  organizationId: string | null,
): CacheKey {
  return cacheKey(namespaces.userPermissions, subject, session, organizationId);
}
