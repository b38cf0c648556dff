/**
 * Makes supabase-js act with an API key of Bulwark; for programs and servers. It needs nothing but
 * `fetch`.
 *
 *     const supabase = createClient(url, publishableKey, {
 *       accessToken: apiKeyToken({ url, apiKey: process.env.BULWARK_API_KEY }),
 *     });
 */

/** Options of {@link apiKeyToken}. */
export interface ApiKeyTokenOptions {
  /** The project's URL. */
  url: string;
  /** The API key. */
  apiKey: string;
  fetch?: typeof fetch | undefined;
  /** A monotonic clock in milliseconds. */
  now?: (() => number) | undefined;
}

/** The key was refused: it is wrong, revoked, expired, or not allowed from this network. */
export class ApiKeyRefused extends Error {
  override readonly name = "ApiKeyRefused";
}

/** Renews a token when this fraction of its lifetime is left, to tolerate clock differences. */
const renewedBefore = 0.2;
/** Timeout of an exchange, and the pause after a failed one, in milliseconds. */
const timeoutMs = 10_000;
const pause = 1000;
/** Upper bound of `Retry-After`, in seconds. */
const longestWait = 300;

/**
 * Returns a function for supabase-js's option `accessToken`. It returns a token for the key and
 * renews it before it expires. Concurrent requests share one exchange, and nobody waits for it
 * while the cached token is valid. During an outage the cached token is used until it expires. A
 * failed exchange is retried after a second at the earliest, or after `Retry-After`, at most five
 * minutes. Only API_KEY_INVALID counts as a refusal: another 401 may come from a proxy.
 * @throws ApiKeyRefused if the key is refused; Error if no token is available, and at once for an
 * empty key or one with invalid characters
 */
export function apiKeyToken(options: ApiKeyTokenOptions): () => Promise<string> {
  const { url, fetch: ask = fetch, now = steadyClock() } = options;
  const apiKey = String(options.apiKey ?? "").trim();
  // fetch() quotes an invalid header in its error, so the key is checked first.
  if (!/^\w+$/.test(apiKey)) throw new Error("Cannot use the API key: it does not look like one");
  const nothing = { token: "", renewAt: -Infinity, endsAt: -Infinity };
  let cached = nothing;
  let failed: { thrown: unknown; until: number } | undefined;
  let exchange: Promise<string> | undefined;

  const renew = async (): Promise<string> => {
    const asked = now();
    let wait = 0;
    try {
      const answer = await ask(`${url.replace(/\/+$/, "")}/functions/v1/bulwark-api-keys/token`, {
        method: "POST",
        headers: { "x-api-key": apiKey },
        // A redirect would send the key to another server.
        redirect: "error",
        signal: AbortSignal.timeout(timeoutMs),
      });
      const body: { code?: unknown; access_token?: unknown; expires_in?: unknown } =
        await answer.json().catch(() => null) ?? {};
      if (answer.status === 401 && body.code === "API_KEY_INVALID") {
        throw new ApiKeyRefused("The API key was refused");
      }
      const { access_token, expires_in } = body;
      if (!answer.ok || typeof access_token !== "string" || !(Number(expires_in) > 0)) {
        wait = retryAfterSeconds(answer.headers.get("retry-after"), longestWait);
        throw new Error(
          `Cannot exchange the API key: ${answer.status} ${body.code ?? ""}` +
            (wait ? `, again in ${wait} seconds` : ""),
        );
      }
      const lifetime = Number(expires_in) * 1000;
      cached = {
        token: access_token,
        renewAt: asked + lifetime * (1 - renewedBefore),
        endsAt: asked + lifetime,
      };
      failed = undefined;
      return cached.token;
    } catch (thrown) {
      if (thrown instanceof ApiKeyRefused) cached = nothing;
      failed = { thrown, until: now() + Math.max(pause, wait * 1000) };
      throw thrown;
    }
  };

  return async () => {
    if (now() >= cached.renewAt && !(failed && now() < failed.until)) {
      exchange ??= renew().finally(() => exchange = undefined);
      // Runs in the background while the cached token is valid. The next call handles a failure.
      exchange.catch(() => {});
    }
    if (now() < cached.endsAt) return cached.token;
    if (exchange) return await exchange;
    throw failed?.thrown;
  };
}

/** A clock that includes sleep and never goes backwards. */
function steadyClock(): () => number {
  let [time, wall, monotonic] = [0, Date.now(), performance.now()];
  return () => {
    const [wallNow, monotonicNow] = [Date.now(), performance.now()];
    time += Math.max(wallNow - wall, monotonicNow - monotonic, 0);
    [wall, monotonic] = [wallNow, monotonicNow];
    return time;
  };
}

// Retry-After: a copy of supabase/functions/_bulwark/foundation/retry_after.ts, so that this file
// needs no other.

const month = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const time = String.raw`(\d\d:\d\d:\d\d)`;
const imfFixdate = new RegExp(String.raw`^\w{3}, (\d\d) ${month} (\d{4}) ${time} GMT$`);
const rfc850 = new RegExp(String.raw`^\w{6,9}, (\d\d)-${month}-(\d\d) ${time} GMT$`);
const asctime = new RegExp(String.raw`^\w{3} ${month} ([ \d]\d) ${time} (\d{4})$`);

/**
 * The seconds that `Retry-After` asks for (RFC 9110, section 10.2.3), as a number or a date in one
 * of its three forms; at most `maximum`, and 0 if absent or malformed.
 */
function retryAfterSeconds(
  text: string | null | undefined,
  maximum: number,
  now: number = Date.now(),
): number {
  const value = (text ?? "").trim();
  const seconds = /^\d+$/.test(value) ? Number(value) : (dateOf(value, now) - now) / 1000;
  return seconds > 0 ? Math.min(Math.ceil(seconds), maximum) : 0;
}

/** Parses an HTTP date (RFC 9110, section 5.6.7) to milliseconds, or NaN. */
function dateOf(text: string, now: number): number {
  const [, day, monthName, year, clock] = imfFixdate.exec(text) ?? rfc850.exec(text) ?? [];
  if (day !== undefined) {
    return Date.parse(`${day} ${monthName} ${fullYear(year, now)} ${clock} GMT`);
  }
  const [, ascMonth, ascDay, ascClock, ascYear] = asctime.exec(text) ?? [];
  return Date.parse(`${ascDay} ${ascMonth} ${ascYear} ${ascClock} GMT`);
}

/** Expands a two-digit year: one more than 50 years ahead is in the past. */
function fullYear(year: string | undefined, now: number): number {
  if (year?.length !== 2) return Number(year);
  const thisYear = new Date(now).getUTCFullYear();
  const full = Math.floor(thisYear / 100) * 100 + Number(year);
  return full > thisYear + 50 ? full - 100 : full;
}
