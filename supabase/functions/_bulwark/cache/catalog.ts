/** Lifetimes in seconds. */
export const ttl = {
  short: 300,
  medium: 1800,
  long: 3600,
  veryLong: 86_400,
  session: 7200,
} as const;

/** The first part of a key. */
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

/** A key made by {@link cacheKey}: no user input can make it equal another key. */
export type CacheKey = string & { readonly cacheKey: unique symbol };

/** A pattern made by {@link cachePattern}. */
export type CachePattern = string & { readonly cachePattern: unique symbol };

const longest = 512;

/**
 * The key of an entry. Parts are escaped, so that they stay separate and none acts as a wildcard;
 * null differs from every text.
 * @throws RangeError if the key has more than 512 characters: hash long parts
 */
export function cacheKey(namespace: Namespace, ...parts: (string | number | null)[]): CacheKey {
  const key = [namespace, ...parts.map(escape)].join(":");
  if (key.length > longest) throw new RangeError(`a cache key has at most ${longest} characters`);
  return key as CacheKey;
}

/** Matches any part at its place in a pattern. */
export const any = Symbol("any");

/**
 * Matches all keys of a namespace that begin with these parts; {@link any} matches one part of any
 * value.
 */
export function cachePattern(
  namespace: Namespace,
  ...parts: (string | number | null | typeof any)[]
): CachePattern {
  return [namespace, ...parts.map((part) => part === any ? "*" : escape(part))]
    .join(":") as CachePattern;
}

/** Matches all keys. */
export const everything = "*" as CachePattern;

/** The namespace of a key. */
export function namespaceOf(key: CacheKey): Namespace {
  return key.slice(0, key.indexOf(":") >>> 0) as Namespace;
}

/** Tests keys against a pattern. */
export function matcher(pattern: CachePattern): (key: string) => boolean {
  const source = pattern.split("*").map((text) => text.replace(/[.()!'$^+?[\]{}|\\/]/g, "\\$&"));
  const expression = new RegExp(`^${source.join("[^:]*")}(:|$)`);
  return (key) => expression.test(key);
}

/**
 * A glob for SCAN. It finds at least the names that begin with `before` and then match the pattern;
 * filter them with {@link matcher}.
 */
export function globOf(before: string, pattern: CachePattern): string {
  return `${before.replace(/[*?[\]\\^-]/g, "\\$&")}${pattern}*`;
}

/** Escapes colons, wildcards, blanks and `=` in a part or a tag; null becomes `~`. */
export function escape(part: string | number | null): string {
  if (part === null) return "~";
  const text = String(part);
  // Lone surrogates cannot be encoded, and two different ones must not become equal.
  const encoded = text.isWellFormed() ? encodeURIComponent(text) : Array.from(
    text,
    (character) =>
      character.isWellFormed()
        ? encodeURIComponent(character)
        : `%u${character.charCodeAt(0).toString(16)}`,
  ).join("");
  return encoded.replaceAll("*", "%2A").replaceAll("~", "%7E");
}
