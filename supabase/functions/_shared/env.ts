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
