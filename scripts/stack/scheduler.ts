import { Failure } from "./failure.ts";
import { runningStack } from "./instance.ts";
import { stackPaths } from "./paths.ts";
import { loadSecrets } from "./secrets.ts";

/**
 * Calls a route for the scheduler: in the project that SUPABASE_URL and BULWARK_SCHEDULER_SECRET name,
 * otherwise in the running local stack.
 * @throws Failure NOT_RUNNING; UNREACHABLE; REFUSED with the code and message of a refusal
 */
export async function schedulerCalls<Answer>(
  path: string,
  action: string,
  signal: AbortSignal,
): Promise<(body: unknown) => Promise<Answer>> {
  let url = Deno.env.get("SUPABASE_URL")?.replace(/\/+$/, "");
  let secret = Deno.env.get("BULWARK_SCHEDULER_SECRET");
  if (!url || !secret) {
    const stack = await runningStack(stackPaths());
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
    const { status, text } = await post(`${url}/functions/v1/${path}`, {
      headers: { authorization: `Bearer ${secret}` },
      body: JSON.stringify(body),
      signal,
    }).catch((thrown) => {
      if (signal.aborted) throw thrown;
      throw new Failure("UNREACHABLE", `Cannot ${action}: ${url} does not answer`);
    });
    const result = parsed(text);
    if (status === 200 && result) return result as Answer;
    const why = result?.code ? `${result.code} ${result.message}` : `${url} answered ${status}`;
    throw new Failure("REFUSED", `Cannot ${action}: ${why}`);
  };
}

async function post(url: string, request: RequestInit): Promise<{ status: number; text: string }> {
  const answer = await fetch(url, { ...request, method: "POST" });
  return { status: answer.status, text: await answer.text() };
}

/** Null for what is no answer of a function, such as a page of a proxy. */
function parsed(text: string): { code?: string; message?: string } | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
