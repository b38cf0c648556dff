import { HttpError } from "./cause.ts";
import type { RedisCommands } from "./client.ts";
import { fetchWithTimeout } from "../timeout.ts";

/**
 * Redis by Upstash's HTTP API: a command is posted as a JSON array, the answer has `result` or `error`
 * (upstash.com/docs/redis/features/restapi). @upstash/redis is not used, because its errors hide the
 * status: a wrong token, a wrong address, an exhausted plan and a proxy's error page would look alike.
 * @throws Error if the address is malformed; the message does not quote it
 */
export function overHttp(url: string, token: string, timeoutMs: number): RedisCommands {
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
    throw new Error("UPSTASH_REDIS_REST_URL is no address of the form https://…");
  }
  return {
    isConnected: true,
    async call(command, ...args) {
      const response = await fetchWithTimeout(timeoutMs)(url, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify([command, ...args.map(String)]),
        redirect: "error",
      });
      const answer = parse(await response.text());
      if (response.ok && answer && "result" in answer) return answer.result;
      throw new HttpError(response.status, String(answer?.error ?? "not an answer of Upstash's"));
    },
    drop() {},
  };
}

function parse(text: string): { result?: unknown; error?: unknown } | null {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
