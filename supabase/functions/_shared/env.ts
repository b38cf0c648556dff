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
  return {
    ...env,
    secretKey: readSecretKey(get),
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

/** What recording needs: who may store, how often, and what an isolate may have. */
export interface MetricsEnv {
  url: string;
  secretKey: string;
  /** Milliseconds between the first value and its flush. */
  flushDelay: number;
  /** Bytes. */
  memoryLimit: number;
}

/** The environment of recording; null where a function has no secret key and so cannot record. */
export function readMetricsEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): MetricsEnv | null {
  const url = get("SUPABASE_URL");
  if (!url || !(get("SUPABASE_SECRET_KEYS") || get("SUPABASE_SERVICE_ROLE_KEY"))) return null;
  return {
    url: url.replace(/\/+$/, ""),
    secretKey: readSecretKey(get),
    flushDelay: Number(get("BULWARK_METRICS_FLUSH_MS")) || 2000,
    memoryLimit: (Number(get("BULWARK_MEMORY_LIMIT_MB")) || 256) * 1024 * 1024,
  };
}

/** What the function `metrics` finds in its environment beside what every function has. */
export interface MetricsFunctionEnv extends Env {
  secretKey: string;
  /** What a scraper sends instead of a user's token; null: only users may read. */
  scrapeToken: string | null;
}

/**
 * The environment of the function `metrics`.
 * @throws Error naming the variable that is missing
 */
export function readMetricsFunctionEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): MetricsFunctionEnv {
  return {
    ...readEnv(get),
    secretKey: readSecretKey(get),
    scrapeToken: get("BULWARK_METRICS_TOKEN") || null,
  };
}

/** Where unexpected errors are reported. */
export interface TrackingEnv {
  /** Sentry's address for this project; null: nowhere. */
  sentryDsn: string | null;
  environment: string;
  /** Values that must not leave, whatever they are in. */
  secrets: string[];
}

/** Error tracking's part of the environment. */
export function readTrackingEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
  all: () => Record<string, string> = () => Deno.env.toObject(),
): TrackingEnv {
  const sentryDsn = get("SENTRY_DSN") || null;
  const secrets = sentryDsn
    ? Object.entries(all())
      .filter(([name, value]) =>
        /KEY|SECRET|TOKEN|PASSWORD|DSN|_URL$/.test(name) && value.length > 7
      )
      .flatMap(([, value]) => [value, ...secretsIn(value)])
    : [];
  return { sentryDsn, environment: get("SENTRY_ENVIRONMENT") || "production", secrets };
}

/** The keys inside `{"default":"sb_secret_..."}`. */
function secretsIn(value: string): string[] {
  try {
    const keys: unknown = JSON.parse(value);
    return typeof keys === "object" && keys !== null
      ? Object.values(keys).filter((key) => typeof key === "string" && key.length > 7)
      : [];
  } catch {
    return [];
  }
}

function readSecretKey(get: (name: string) => string | undefined): string {
  const keys = get("SUPABASE_SECRET_KEYS");
  const secretKey = keys
    ? (JSON.parse(keys) as { default?: string }).default
    : get("SUPABASE_SERVICE_ROLE_KEY");
  if (!secretKey) {
    throw new Error("Neither SUPABASE_SECRET_KEYS nor SUPABASE_SERVICE_ROLE_KEY is set");
  }
  return secretKey;
}
