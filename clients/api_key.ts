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
  fetch?: typeof fetch;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** The key was refused: it is wrong, revoked, expired, or not for this network. Another try is vain. */
export class ApiKeyRefused extends Error {
  override readonly name = "ApiKeyRefused";
}

/** A token is renewed when this part of its life is left, so that clocks may differ a little. */
const renewedBefore = 0.2;

/**
 * What supabase-js takes as `accessToken`: a function that gives a token of the key, and renews it
 * before it ends. However many requests ask at once, one exchange is under way at a time. While the
 * exchange is out of reach (not while it refuses) the token at hand serves until its end.
 * @throws ApiKeyRefused where the key is not accepted; Error where no token can be had
 */
export function apiKeyToken(options: ApiKeyTokenOptions): () => Promise<string> {
  const { url, apiKey, fetch: ask = fetch, now = Date.now } = options;
  let held = { token: "", renewAt: -Infinity, endsAt: -Infinity };
  let exchange: Promise<string> | undefined;

  const renew = async (): Promise<string> => {
    const asked = now();
    const answer = await ask(`${url.replace(/\/+$/, "")}/functions/v1/api-keys/token`, {
      method: "POST",
      headers: { "x-api-key": apiKey },
      // The key goes where it was meant to go, or nowhere.
      redirect: "error",
    });
    const body = await answer.json().catch(() => ({}));
    if (answer.status === 401) throw new ApiKeyRefused("The API key was refused");
    if (!answer.ok) {
      const wait = answer.headers.get("retry-after");
      throw new Error(
        `Cannot exchange the API key: ${answer.status} ${body.code ?? ""}` +
          (wait ? `, again in ${wait} seconds` : ""),
      );
    }
    const lifetime = body.expires_in * 1000;
    held = {
      token: body.access_token,
      renewAt: asked + lifetime * (1 - renewedBefore),
      endsAt: asked + lifetime,
    };
    return held.token;
  };

  return async () => {
    if (now() < held.renewAt) return held.token;
    exchange ??= renew().finally(() => exchange = undefined);
    try {
      return await exchange;
    } catch (thrown) {
      if (thrown instanceof ApiKeyRefused) {
        held = { token: "", renewAt: -Infinity, endsAt: -Infinity };
        throw thrown;
      }
      if (now() < held.endsAt) return held.token;
      throw thrown;
    }
  };
}
