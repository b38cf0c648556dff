/** Where a function reads its environment: here, and nowhere else. */
export interface Env {
  /** The project's URL, without a trailing slash. */
  url: string;
  /** The key that clients use; it gives no rights of its own. */
  publishableKey: string;
}

/**
 * The environment of a function, as the hosted runtime and the local stack set it.
 * @throws Error naming the variable that is missing; its text never reaches a client.
 */
export function readEnv(get: (name: string) => string | undefined = (n) => Deno.env.get(n)): Env {
  const url = get("SUPABASE_URL");
  if (!url) throw new Error("SUPABASE_URL is not set");
  const keys = get("SUPABASE_PUBLISHABLE_KEYS");
  const publishableKey = keys
    ? (JSON.parse(keys) as { default?: string }).default
    : get("SUPABASE_ANON_KEY");
  if (!publishableKey) {
    throw new Error("Neither SUPABASE_PUBLISHABLE_KEYS nor SUPABASE_ANON_KEY is set");
  }
  return { url: url.replace(/\/+$/, ""), publishableKey };
}

/** What the function `audit` finds in its environment beside what every function has. */
export interface AuditEnv extends Env {
  /** The key that passes every policy; sealing, storing and delivering checkpoints need it. */
  secretKey: string;
  /** What whoever calls on a schedule has to send; null: nobody may. */
  schedulerSecret: string | null;
  /** The keys that sign checkpoints, the present one first; null: none are made. */
  signingKeys: string | null;
  /** Public keys that no longer sign here but did, separated by commas. */
  retiredKeys: string;
  /** The log's name in its checkpoints: the project's host and /audit by default. */
  origin: string;
  /** Where checkpoints go: an HTTP endpoint or storage:<bucket>; null: nowhere. */
  sink: string | null;
  /** The bearer token that the HTTP endpoint wants. */
  sinkToken: string | null;
}

/**
 * The environment of the function `audit`.
 * @throws Error naming the variable that is missing
 */
export function readAuditEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): AuditEnv {
  const env = readEnv(get);
  const keys = get("SUPABASE_SECRET_KEYS");
  const secretKey = keys
    ? (JSON.parse(keys) as { default?: string }).default
    : get("SUPABASE_SERVICE_ROLE_KEY");
  if (!secretKey) {
    throw new Error("Neither SUPABASE_SECRET_KEYS nor SUPABASE_SERVICE_ROLE_KEY is set");
  }
  return {
    ...env,
    secretKey,
    schedulerSecret: get("BULWARK_SCHEDULER_SECRET") || null,
    signingKeys: get("BULWARK_AUDIT_SIGNING_KEYS") || null,
    retiredKeys: get("BULWARK_AUDIT_RETIRED_KEYS") ?? "",
    origin: get("BULWARK_AUDIT_ORIGIN") || `${new URL(env.url).host}/audit`,
    sink: get("BULWARK_AUDIT_SINK") || null,
    sinkToken: get("BULWARK_AUDIT_SINK_TOKEN") || null,
  };
}

/** Where the shared level of the cache is. */
export interface CacheEnv {
  /** `redis://` or `rediss://`; null: none by TCP. */
  redisUrl: string | null;
  /** Upstash's HTTP endpoint and its token; null: none by HTTP. */
  upstashUrl: string | null;
  upstashToken: string | null;
  /** What every name in Redis begins with. */
  cachePrefix: string;
  /** How long Redis may take, in milliseconds, before the request goes on without it. */
  cacheTimeout: number;
}

/** The cache's part of the environment: without any of it the cache is in memory alone. */
export function readCacheEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): CacheEnv {
  return {
    redisUrl: get("REDIS_URL") || null,
    upstashUrl: get("UPSTASH_REDIS_REST_URL") || null,
    upstashToken: get("UPSTASH_REDIS_REST_TOKEN") || null,
    cachePrefix: get("BULWARK_CACHE_PREFIX") || "bulwark",
    cacheTimeout: Number(get("BULWARK_CACHE_TIMEOUT_MS")) || 100,
  };
}
