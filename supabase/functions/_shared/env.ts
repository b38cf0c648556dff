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
