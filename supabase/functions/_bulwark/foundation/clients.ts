import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "./database.types.ts";
import { boundedFetch } from "./deadline.ts";
import { within } from "./within.ts";

/** A client of the project's Data API and Auth. */
export type DataClient = SupabaseClient<Database>;

/** What a client may be told to do otherwise than by default. */
export interface ClientOptions {
  headers?: Record<string, string>;
  /** How long a call may take, in milliseconds. */
  patience?: number;
  fetch?: typeof fetch;
}

/** Only calls that no client waits for may take longer. In milliseconds. */
const usualPatience = 5000;
/** How long is waited for a project that was silent, in milliseconds. */
const shortPatience = 1000;

/** Whether somebody waited in vain, and nobody was answered meanwhile or since. */
let silent = false;
/** When the last answer came, in milliseconds of performance.now(). */
let answered = -Infinity;

/**
 * The one way to make a client: it keeps no session, tries nothing twice, and no call of it takes
 * longer than its patience (five seconds by default). A call that does is DATA_API_UNAVAILABLE, as is
 * one that finds nobody. After a call that got no answer while no other got one either, nobody waits
 * for longer than a second, so that a request that needs several does not add them up; a project that
 * is busy is not taken for that one. Calls are not ended by it: an answer that comes late is heard.
 */
export function openClient(
  url: string,
  key: string,
  { headers = {}, patience = usualPatience, fetch: through = fetch }: ClientOptions = {},
): DataClient {
  const bounded = boundedFetch(patience, through);
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
        if (!silent || patience > usualPatience) return await answer;
        try {
          return await within(shortPatience, answer);
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
