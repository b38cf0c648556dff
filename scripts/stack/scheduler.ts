import { Failure } from "./failure.ts";
import { readState } from "./instance.ts";
import { stackPaths } from "./paths.ts";
import { loadSecrets } from "./secrets.ts";

/**
 * Calls a route for the scheduler: in the project that SUPABASE_URL and BULWARK_SCHEDULER_SECRET name,
 * otherwise in the running local stack.
 * @throws Failure NOT_RUNNING; REFUSED with the code and message of a refusal
 */
export async function schedulerCalls<Answer>(
  path: string,
  action: string,
  signal: AbortSignal,
): Promise<(body: unknown) => Promise<Answer>> {
  let url = Deno.env.get("SUPABASE_URL")?.replace(/\/+$/, "");
  let secret = Deno.env.get("BULWARK_SCHEDULER_SECRET");
  if (!url || !secret) {
    const stack = await readState(stackPaths());
    if (!stack) {
      throw new Failure(
        "NOT_RUNNING",
        `Cannot ${action}: set SUPABASE_URL and BULWARK_SCHEDULER_SECRET, or run npm start first`,
      );
    }
    url = stack.url;
    secret = (await loadSecrets(stackPaths().secrets)).schedulerSecret;
  }
  return async (body) => {
    const answer = await fetch(`${url}/functions/v1/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}` },
      body: JSON.stringify(body),
      signal,
    });
    const result = await answer.json();
    if (answer.ok) return result;
    throw new Failure("REFUSED", `Cannot ${action}: ${result.code} ${result.message}`);
  };
}
