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
  const publishableKey = readKey(get, "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_ANON_KEY");
  return { url: url.replace(/\/+$/, ""), publishableKey };
}

/** What the function `bulwark-audit` finds in its environment beside what every function has. */
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

/** What a function that encrypts finds in its environment beside what every function has. */
export interface EncryptionEnv extends Env {
  /** The key that passes every policy; wrapped data keys are for it alone. */
  secretKey: string;
  /** What whoever calls on a schedule has to send; null: nobody may. */
  schedulerSecret: string | null;
  /** The key-encryption keys, the current one first; null: nothing is encrypted. */
  encryptionKeys: string | null;
}

/**
 * The environment of a function that encrypts.
 * @throws Error naming the variable that is missing
 */
export function readEncryptionEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): EncryptionEnv {
  return {
    ...readEnv(get),
    secretKey: readSecretKey(get),
    schedulerSecret: get("BULWARK_SCHEDULER_SECRET") || null,
    encryptionKeys: get("BULWARK_ENCRYPTION_KEYS") || null,
  };
}

/** What the function `bulwark-mfa` finds in its environment beside what every function has. */
export interface MfaEnv extends Env {
  /** The key that passes every policy; completing an attempt needs it. */
  secretKey: string;
  /** The key-encryption keys, the current one first; null: nothing is encrypted. */
  encryptionKeys: string | null;
  /** Keys the hashes of backup codes; null: no factor can be enrolled or verified. */
  pepper: string | null;
}

/**
 * The environment of the function `bulwark-mfa`.
 * @throws Error naming the variable that is missing, or too short
 */
export function readMfaEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): MfaEnv {
  const pepper = get("BULWARK_MFA_PEPPER") || null;
  if (pepper && pepper.length < 32) {
    throw new Error("BULWARK_MFA_PEPPER has fewer than 32 characters");
  }
  return {
    ...readEnv(get),
    secretKey: readSecretKey(get),
    encryptionKeys: get("BULWARK_ENCRYPTION_KEYS") || null,
    pepper,
  };
}

/**
 * The environment of the function `bulwark-audit`.
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

/** What a function that limits rates finds in its environment beside what every function has. */
export interface RateLimitEnv extends Env {
  /** The key that passes every policy: only the service role asks for decisions. */
  secretKey: string;
  /** Where buckets are kept instead of Postgres; null: in Postgres. */
  redisUrl: string | null;
  /** How long a command to Redis may take, in milliseconds; 100 by default. */
  redisTimeoutMs?: number;
  /** The header that a trusted proxy writes the client's address to; null: none is trusted. */
  addressHeader: string | null;
  /** How many trusted proxies append to that header. */
  addressHops: number;
  /** The headers with latitude and longitude that a trusted proxy writes; null: none does. */
  placeHeaders: [latitude: string, longitude: string] | null;
}

/**
 * The environment of a function that limits rates.
 * @throws Error naming the variable that is missing or has no valid form
 */
export function readRateLimitEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): RateLimitEnv {
  const addressHops = Number(get("BULWARK_ADDRESS_HOPS") || 1);
  if (!Number.isInteger(addressHops) || addressHops < 1) {
    throw new Error("BULWARK_ADDRESS_HOPS is not a number of proxies");
  }
  const [latitude, longitude] = (get("BULWARK_PLACE_HEADERS") ?? "").split(",");
  return {
    ...readEnv(get),
    secretKey: readSecretKey(get),
    redisUrl: get("REDIS_URL") || null,
    redisTimeoutMs: readRedisTimeout(get),
    addressHeader: get("BULWARK_ADDRESS_HEADER") || null,
    addressHops,
    placeHeaders: latitude && longitude ? [latitude.trim(), longitude.trim()] : null,
  };
}

/** What the function `bulwark-api-keys` finds in its environment beside what every function has. */
export interface ApiKeysEnv extends RateLimitEnv {
  /** The private JWK that signs tokens; null: the legacy secret does. */
  jwtSigningKey: string | null;
  /** The legacy JWT secret; without either of them no key is exchanged. */
  jwtSecret: string | null;
  /** The public keys of whoever reports leaks, in GitHub's form; null: the endpoint is asked. */
  scannerKeys: string | null;
  /** The endpoint with the public keys of whoever reports leaks. */
  scannerKeysUrl: string;
}

/**
 * The environment of the function `bulwark-api-keys`.
 * @throws Error naming the variable that is missing or has no valid form
 */
export function readApiKeysEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): ApiKeysEnv {
  return {
    ...readRateLimitEnv(get),
    jwtSigningKey: get("BULWARK_JWT_SIGNING_KEY") || null,
    jwtSecret: get("BULWARK_JWT_SECRET") || null,
    scannerKeys: get("BULWARK_SCANNER_KEYS") || null,
    scannerKeysUrl: get("BULWARK_SCANNER_KEYS_URL") ||
      "https://api.github.com/meta/public_keys/secret_scanning",
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
  cacheTimeoutMs: number;
}

/** The cache's part of the environment: without any of it the cache is in memory alone. */
export function readCacheEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): CacheEnv {
  const { host } = URL.parse(get("SUPABASE_URL") ?? "") ?? { host: "" };
  return {
    redisUrl: get("REDIS_URL") || null,
    upstashUrl: get("UPSTASH_REDIS_REST_URL") || null,
    upstashToken: get("UPSTASH_REDIS_REST_TOKEN") || null,
    cachePrefix: get("BULWARK_CACHE_PREFIX") || ["bulwark", ...host ? [host] : []].join(":"),
    cacheTimeoutMs: readRedisTimeout(get),
  };
}

/** How long a command to Redis may take, in milliseconds. */
function readRedisTimeout(get: (name: string) => string | undefined): number {
  const timeout = Number(get("BULWARK_CACHE_TIMEOUT_MS"));
  return timeout > 0 && timeout <= 60_000 ? timeout : 100;
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

/** What the function `bulwark-metrics` finds in its environment beside what every function has. */
export interface MetricsFunctionEnv extends Env {
  secretKey: string;
  /** What a scraper sends instead of a user's token; null: only users may read. */
  scrapeToken: string | null;
}

/**
 * The environment of the function `bulwark-metrics`.
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
      .filter(([name]) => /KEY|SECRET|TOKEN|PASSWORD|PEPPER|DSN|_URL$/.test(name))
      .flatMap(([, value]) => [value, ...secretsIn(value)])
      .filter((value) => value.length > 7)
      // One that begins another would leave the end of it.
      .sort((a, b) => b.length - a.length)
    : [];
  return { sentryDsn, environment: get("SENTRY_ENVIRONMENT") || "production", secrets };
}

/** The keys in `{"default":"sb_secret_..."}` and in `id:passphrase:...,id:...`, a URL's password. */
function secretsIn(value: string): string[] {
  try {
    const keys: unknown = JSON.parse(value);
    return typeof keys === "object" && keys !== null
      ? Object.values(keys).filter((key) => typeof key === "string")
      : [];
  } catch {
    if (!/:\/\//.test(value)) return value.split(/[,:]/);
    const { password } = URL.parse(value) ?? { password: "" };
    return [password, unescaped(password)];
  }
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function readSecretKey(get: (name: string) => string | undefined): string {
  return readKey(get, "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY");
}

/** The key named default of `{"default":"sb_..."}`, or else the legacy key. */
function readKey(
  get: (name: string) => string | undefined,
  name: string,
  legacyName: string,
): string {
  const keys = get(name);
  const key = keys ? defaultOf(keys) : get(legacyName);
  if (!key) throw new Error(`Neither ${name} nor ${legacyName} holds a key`);
  return key;
}

/** Null where the text is none of that form: what JSON.parse() throws would quote it. */
function defaultOf(keys: string): string | null {
  try {
    const { default: key } = JSON.parse(keys);
    return typeof key === "string" ? key : null;
  } catch {
    return null;
  }
}

/** What the function `bulwark-webhooks` finds in its environment. */
export interface WebhookEnv extends EncryptionEnv {
  /** Whether deliveries may go to http and loopback addresses: for development on one machine. */
  allowLoopback: boolean;
}

/**
 * The environment of the function `bulwark-webhooks`.
 * @throws Error naming the variable that is missing
 */
export function readWebhookEnv(
  get: (name: string) => string | undefined = (n) => Deno.env.get(n),
): WebhookEnv {
  return {
    ...readEncryptionEnv(get),
    allowLoopback: get("BULWARK_WEBHOOKS_ALLOW_LOOPBACK") === "true",
  };
}
