/** Reads a variable of the environment. Each capability has its own `env.ts`; nothing else reads it. */
export type GetVariable = (name: string) => string | undefined;

export const fromDeno: GetVariable = (name) => Deno.env.get(name);

/** The environment of every function. */
export interface Env {
  /** The project's URL, without a trailing slash. */
  url: string;
  /** The key that clients use; it gives no rights of its own. */
  publishableKey: string;
}

/** @throws Error naming the variable that is missing; its text never reaches a client. */
export function readEnv(get: GetVariable = fromDeno): Env {
  const url = get("SUPABASE_URL");
  if (!url) throw new Error("SUPABASE_URL is not set");
  const publishableKey = readKey(get, "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_ANON_KEY");
  return { url: url.replace(/\/+$/, ""), publishableKey };
}

/** The environment of a function that also acts by itself. */
export interface ServiceEnv extends Env {
  /** The key that passes every policy. */
  secretKey: string;
}

/** @throws Error naming the variable that is missing */
export function readServiceEnv(get: GetVariable = fromDeno): ServiceEnv {
  return { ...readEnv(get), secretKey: readSecretKey(get) };
}

/** How long a command to Redis may take, in milliseconds. */
export function readRedisTimeout(get: GetVariable): number {
  const timeout = Number(get("BULWARK_CACHE_TIMEOUT_MS"));
  return timeout > 0 && timeout <= 60_000 ? timeout : 100;
}

/** The secret key. @throws Error naming the variable that is missing */
export function readSecretKey(get: GetVariable): string {
  return readKey(get, "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY");
}

/**
 * The key named default of `{"default":"sb_..."}`, or else the legacy key: self-hosted, the first is
 * `{"default":""}` where only legacy keys were made.
 */
function readKey(
  get: GetVariable,
  name: string,
  legacyName: string,
): string {
  const keys = get(name);
  const named = keys ? defaultOf(keys) : "";
  const key = named === "" ? get(legacyName) : named;
  if (!key) throw new Error(`Neither ${name} nor ${legacyName} holds a key`);
  return key;
}

/** Null for any other form: the error of JSON.parse() would quote the text. */
function defaultOf(keys: string): string | null {
  try {
    const { default: key } = JSON.parse(keys);
    return typeof key === "string" ? key : null;
  } catch {
    return null;
  }
}
