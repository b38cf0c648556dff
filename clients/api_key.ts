/**
 * Makes supabase-js act with an API key of Bulwark. Copy this file into the program; it needs nothing
 * but `fetch`.
 *
 *     const supabase = createClient(url, publishableKey, {
 *       accessToken: apiKeyToken({ url, apiKey: process.env.BULWARK_API_KEY }),
 *     });
 */

/** What {@link apiKeyToken} needs. */
export interface ApiKeyTokenOptions {
  /** The project's URL. */
  url: string;
  /** The key, as it was shown once. */
  apiKey: string;
  fetch?: typeof fetch | undefined;
  /** Milliseconds on a clock that never goes back. */
  now?: (() => number) | undefined;
}

/** The key was refused: it is wrong, revoked, expired, or not for this network. */
export class ApiKeyRefused extends Error {
  override readonly name = "ApiKeyRefused";
}

/** A token is renewed when this part of its life is left, so that clocks may differ a little. */
const renewedBefore = 0.2;
/** How long an exchange may take, and how long after one that failed the next one waits at least. */
const patience = 10_000;
const pause = 1000;
/** The longest wait that `Retry-After` can ask for, in seconds. */
const longestWait = 300;

/**
 * What supabase-js takes as `accessToken`: a function that gives a token of the key, and renews it
 * before it ends. However many requests ask at once, one exchange is under way at a time, and while
 * the token at hand is good nobody waits for it. While the exchange is out of reach (not while it
 * refuses) that token serves until its end; what fails is not tried again within a second, or within
 * what `Retry-After` says, of which five minutes are heeded. Only API_KEY_INVALID is a refusal: another
 * 401 may come from whatever is in between.
 * @throws ApiKeyRefused where the key is not accepted; Error where no token can be had, or at once
 * where there is no key, or one with characters that none has
 */
export function apiKeyToken(options: ApiKeyTokenOptions): () => Promise<string> {
  const { url, fetch: ask = fetch, now = steadyClock() } = options;
  const apiKey = String(options.apiKey ?? "").trim();
  // What fetch() throws about a header that cannot be sent quotes it.
  if (!/^\w+$/.test(apiKey)) throw new Error("Cannot use the API key: it does not look like one");
  const nothing = { token: "", renewAt: -Infinity, endsAt: -Infinity };
  let held = nothing;
  let failed: { thrown: unknown; until: number } | undefined;
  let exchange: Promise<string> | undefined;

  const renew = async (): Promise<string> => {
    const asked = now();
    let wait = 0;
    try {
      const answer = await ask(`${url.replace(/\/+$/, "")}/functions/v1/bulwark-api-keys/token`, {
        method: "POST",
        headers: { "x-api-key": apiKey },
        // The key goes where it was meant to go, or nowhere.
        redirect: "error",
        signal: AbortSignal.timeout(patience),
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
      held = {
        token: access_token,
        renewAt: asked + lifetime * (1 - renewedBefore),
        endsAt: asked + lifetime,
      };
      failed = undefined;
      return held.token;
    } catch (thrown) {
      if (thrown instanceof ApiKeyRefused) held = nothing;
      failed = { thrown, until: now() + Math.max(pause, wait * 1000) };
      throw thrown;
    }
  };

  return async () => {
    if (now() >= held.renewAt && !(failed && now() < failed.until)) {
      exchange ??= renew().finally(() => exchange = undefined);
      // Whoever has a good token does not wait; what becomes of the exchange the next one sees.
      exchange.catch(() => {});
    }
    if (now() < held.endsAt) return held.token;
    if (exchange) return await exchange;
    throw failed?.thrown;
  };
}

/** A clock that goes on while the machine sleeps, and not back when somebody sets the time. */
function steadyClock(): () => number {
  let [time, wall, monotonic] = [0, Date.now(), performance.now()];
  return () => {
    const [wallNow, monotonicNow] = [Date.now(), performance.now()];
    time += Math.max(wallNow - wall, monotonicNow - monotonic, 0);
    [wall, monotonic] = [wallNow, monotonicNow];
    return time;
  };
}

// Retry-After: as in supabase/functions/_bulwark/foundation/retry_after.ts, which this file stands without.

const month = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const time = String.raw`(\d\d:\d\d:\d\d)`;
const imfFixdate = new RegExp(String.raw`^\w{3}, (\d\d) ${month} (\d{4}) ${time} GMT$`);
const rfc850 = new RegExp(String.raw`^\w{6,9}, (\d\d)-${month}-(\d\d) ${time} GMT$`);
const asctime = new RegExp(String.raw`^\w{3} ${month} ([ \d]\d) ${time} (\d{4})$`);

/**
 * The seconds that `Retry-After` asks for (RFC 9110, section 10.2.3): a number, or a date in any of its
 * three forms; at most `maximum`, and 0 where it asks for nothing or cannot be read.
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

/** An HTTP date in milliseconds (RFC 9110, section 5.6.7), or NaN. */
function dateOf(text: string, now: number): number {
  const [, day, monthName, year, clock] = imfFixdate.exec(text) ?? rfc850.exec(text) ?? [];
  if (day !== undefined) {
    return Date.parse(`${day} ${monthName} ${fullYear(year, now)} ${clock} GMT`);
  }
  const [, ascMonth, ascDay, ascClock, ascYear] = asctime.exec(text) ?? [];
  return Date.parse(`${ascDay} ${ascMonth} ${ascYear} ${ascClock} GMT`);
}

/** A year of two digits is in the past if it would be more than 50 years ahead. */
function fullYear(year: string | undefined, now: number): number {
  if (year?.length !== 2) return Number(year);
  const thisYear = new Date(now).getUTCFullYear();
  const full = Math.floor(thisYear / 100) * 100 + Number(year);
  return full > thisYear + 50 ? full - 100 : full;
}
