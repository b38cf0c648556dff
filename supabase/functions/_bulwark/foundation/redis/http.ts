import { HttpError } from "./cause.ts";
import type { RedisCommands } from "./client.ts";

/**
 * A Redis by Upstash's HTTP: a command is a JSON array that is posted, and the answer is `result` or
 * `error` (upstash.com/docs/redis/features/restapi). Not by @upstash/redis: its errors hide the status,
 * without which a wrong token, a wrong address, a used up plan and a proxy's error page look alike.
 * @throws Error where the address has no valid form; the message does not quote it
 */
export function overHttp(url: string, token: string, timeout: number): RedisCommands {
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
    throw new Error("UPSTASH_REDIS_REST_URL is no address of the form https://…");
  }
  return {
    isConnected: true,
    async call(command, ...args) {
      const response = await fetch(url, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify([command, ...args.map(String)]),
        redirect: "error",
        signal: AbortSignal.timeout(timeout),
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
