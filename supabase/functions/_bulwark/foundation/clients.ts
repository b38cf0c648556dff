import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "./database.types.ts";
import { fetchWithTimeout, withTimeout } from "./timeout.ts";

/** A client of the project's Data API and Auth. */
export type DataClient = SupabaseClient<Database>;

/** Options of a client. */
export interface ClientOptions {
  headers?: Record<string, string>;
  /** How long a call may take, in milliseconds. */
  timeoutMs?: number;
  fetch?: typeof fetch;
}

/** Only calls that no client waits for may take longer. */
const defaultTimeoutMs = 5000;
/** For a project that gave no answer last time. */
const silentTimeoutMs = 1000;

/** Whether somebody waited in vain, and nobody was answered meanwhile or since. */
let silent = false;
/** When the last answer came, in milliseconds of performance.now(). */
let answered = -Infinity;

/**
 * The one way to make a client: it keeps no session, tries nothing twice, and no call of it takes
 * longer than `timeoutMs` (five seconds by default). A call that does is DATA_API_UNAVAILABLE, as is
 * one that finds nobody. After a call that got no answer while no other got one either, nobody waits
 * for longer than a second, so that a request that needs several does not add them up; a project that
 * is busy is not taken for that one. Calls are not ended by it: an answer that comes late is heard.
 */
export function openClient(
  url: string,
  key: string,
  { headers = {}, timeoutMs = defaultTimeoutMs, fetch: through = fetch }: ClientOptions = {},
): DataClient {
  const bounded = fetchWithTimeout(timeoutMs, through);
  const listening: typeof fetch = async (input, init) => {
    const asked = performance.now();
    try {
      const answer = await bounded(input, init);
      answered = performance.now();
      silent = false;
      return answer;
    } catch (thrown) {
      const isLate = thrown instanceof Error && thrown.name === "TimeoutError";
      if (isLate && answered < asked) silent = true;
      throw thrown;
    }
  };
  const client = createClient<Database>(url, key, {
    db: { schema: "bulwark" },
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: {
      headers,
      async fetch(...call) {
        const answer = listening(...call);
        if (!silent || timeoutMs > defaultTimeoutMs) return await answer;
        try {
          return await withTimeout(answer, { timeoutMs: silentTimeoutMs });
        } catch (thrown) {
          answer.then(({ body }) => body?.cancel()).catch(() => {});
          throw thrown;
        }
      },
    },
  });
  // By default it reads up to four times, with pauses, and as late as an answer says.
  client["rest"].retry = false;
  return client;
}
