/** How long an entry may live, in seconds. */
export const ttl = {
  short: 300,
  medium: 1800,
  long: 3600,
  veryLong: 86_400,
  session: 7200,
} as const;

/** What an entry is about: the first part of its key. */
export const namespaces = {
  user: "user",
  userPermissions: "user_permissions",
  userRoles: "user_roles",
  organization: "organization",
  conversation: "conversation",
  assessment: "assessment",
  apiKey: "api_key",
  rateLimit: "rate_limit",
  session: "session",
  metrics: "metrics",
} as const;

export type Namespace = typeof namespaces[keyof typeof namespaces];

/** A key made by {@link cacheKey}: nothing that a user writes can reach into another's. */
export type CacheKey = string & { readonly cacheKey: unique symbol };

/** Which keys {@link cachePattern} names. */
export type CachePattern = string & { readonly cachePattern: unique symbol };

const longest = 512;

/**
 * The key of an entry. Parts are kept apart whatever characters they hold, null is a part of its
 * own, and no part can act as a wildcard.
 * @throws RangeError when the key has more than 512 characters: hash what is that long
 */
export function cacheKey(namespace: Namespace, ...parts: (string | number | null)[]): CacheKey {
  const key = [namespace, ...parts.map(escape)].join(":");
  if (key.length > longest) throw new RangeError(`a cache key has at most ${longest} characters`);
  return key as CacheKey;
}

/** Every part from a place on, in a pattern. */
export const any = Symbol("any");

/**
 * Names all keys of a namespace whose first parts are these, however many follow; {@link any} in a
 * place stands for whatever part is there.
 */
export function cachePattern(
  namespace: Namespace,
  ...parts: (string | number | null | typeof any)[]
): CachePattern {
  return [namespace, ...parts.map((part) => part === any ? "*" : escape(part))]
    .join(":") as CachePattern;
}

/** All keys of all namespaces. */
export const everything = "*" as CachePattern;

/** The namespace that a key belongs to. */
export function namespaceOf(key: CacheKey): Namespace {
  return key.slice(0, key.indexOf(":") >>> 0) as Namespace;
}

/** Whether a key is one that a pattern names. */
export function matcher(pattern: CachePattern): (key: string) => boolean {
  const source = pattern.split("*").map((text) => text.replace(/[.()!'$^+?[\]{}|\\/]/g, "\\$&"));
  const expression = new RegExp(`^${source.join("[^:]*")}(:|$)`);
  return (key) => expression.test(key);
}

/**
 * A glob for SCAN that finds at least the names that begin with some text and go on as a pattern says;
 * {@link matcher} then tells which.
 */
export function globOf(before: string, pattern: CachePattern): string {
  return `${before.replace(/[*?[\]\\^-]/g, "\\$&")}${pattern}*`;
}

/** A part or a tag as text without colons, wildcards, blanks and signs of equality; null is `~`. */
export function escape(part: string | number | null): string {
  if (part === null) return "~";
  const text = String(part);
  // Half a character is none that can be encoded, and must not become the same as another half.
  const encoded = text.isWellFormed() ? encodeURIComponent(text) : Array.from(
    text,
    (character) =>
      character.isWellFormed()
        ? encodeURIComponent(character)
        : `%u${character.charCodeAt(0).toString(16)}`,
  ).join("");
  return encoded.replaceAll("*", "%2A").replaceAll("~", "%7E");
}
