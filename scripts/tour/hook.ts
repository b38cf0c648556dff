import postgres from "postgres";
import { Failure } from "../stack/failure.ts";
import type { Place } from "./guide.ts";

/**
 * Does something with Bulwark's hook in front of the Data API, and leaves the stack as it was found.
 * It is installed by the statement in docs/rate_limits.md.
 */
export async function withHook(place: Place, task: () => Promise<void>): Promise<void> {
  if (await isInstalled(place)) return await task();
  const sql = postgres(place.superuserUrl, { max: 1, onnotice: () => {} });
  try {
    await sql`select bulwark.install_request_hook()`;
    await until(place, true);
    console.log("  done     select bulwark.install_request_hook()");
    await task();
  } finally {
    await sql`alter role authenticator reset pgrst.db_pre_request`;
    await sql`notify pgrst, 'reload config'`;
    await sql.end();
  }
  await until(place, false);
}

/** The hook refuses a key that is none; without it nobody looks at keys. */
async function isInstalled({ url, publishableKey }: Place): Promise<boolean> {
  const headers = { apikey: publishableKey, "x-api-key": "none" };
  const answer = await fetch(`${url}/rest/v1/reports?limit=1`, { headers });
  await answer.body?.cancel();
  return answer.status === 401;
}

async function until(place: Place, installed: boolean): Promise<void> {
  for (let attempt = 0; await isInstalled(place) !== installed; attempt++) {
    if (attempt === 100) throw new Failure("TOUR", "the Data API did not hear of its hook");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
