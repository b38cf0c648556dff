import type { CallerClient } from "../foundation/caller.ts";
import type { Env } from "../foundation/env.ts";
import { BulwarkError } from "../foundation/errors.ts";
import { fetchWithTimeout } from "../foundation/timeout.ts";
import type { Decision } from "./decision.ts";
import { type DecisionRow, fromRow, onlyRow } from "./postgres_store.ts";

/** The credentials of a sign-in. */
export interface Credentials {
  email: string;
  password: string;
  captcha_token?: string | undefined;
}

/** Address and place of a sign-in as a trusted proxy wrote them, and its device; null: unknown. */
export interface Origin {
  address: string | null;
  latitude: number | null;
  longitude: number | null;
  userAgent: string | null;
}

const timeoutMs = 5000;
/**
 * Minimum duration of a refusal in milliseconds. Auth refuses an unknown account a tenth of a second
 * sooner, because it checks no password; this hides the difference.
 */
export const refusalMilliseconds = 500;

/**
 * Charges the address and the account of a sign-in before Auth is asked.
 * @throws BulwarkError 503 RATE_LIMIT_UNAVAILABLE if that cannot be decided: it fails closed, so that
 * no password is guessed uncounted
 */
export async function beginLogin(
  client: CallerClient,
  { email }: Credentials,
  { address }: Origin,
): Promise<Decision> {
  try {
    const asked = { account: email, ...address ? { address } : {} };
    const answer = await client.rpc("begin_login", asked);
    const row: Omit<DecisionRow, "when_store_fails"> = onlyRow(answer);
    return fromRow("auth_login", { ...row, when_store_fails: "closed" });
  } catch (thrown) {
    console.error(`login: ${thrown instanceof Error ? thrown.message : thrown}`);
    throw unavailable();
  }
}

/**
 * Signs in with Supabase Auth, which is told the client's address and device: the session shows
 * them. Returns its answer, or null for any refusal; a refusal takes at least
 * {@link refusalMilliseconds}.
 * @throws BulwarkError 503 RATE_LIMIT_UNAVAILABLE if Auth does not answer or is overloaded
 */
export async function signIn(
  env: Env,
  credentials: Credentials,
  { address, userAgent }: Origin,
): Promise<Session | null> {
  const { email, password, captcha_token } = credentials;
  const start = performance.now();
  const answer = await fetchWithTimeout(timeoutMs)(`${env.url}/auth/v1/token?grant_type=password`, {
    method: "POST",
    headers: {
      apikey: env.publishableKey,
      "content-type": "application/json",
      ...userAgent ? { "user-agent": userAgent } : {},
      ...address ? { "x-forwarded-for": address } : {},
    },
    body: JSON.stringify({
      email,
      password,
      ...captcha_token ? { gotrue_meta_security: { captcha_token } } : {},
    }),
  }).catch(() => {
    throw unavailable();
  });
  if (answer.ok) return await answer.json() as Session;
  await answer.body?.cancel();
  if (answer.status === 429 || answer.status >= 500) throw unavailable();
  const rest = start + refusalMilliseconds - performance.now();
  await new Promise((resolve) => setTimeout(resolve, rest));
  return null;
}

/** Supabase Auth's answer to a sign-in. It goes to the client unchanged. */
export interface Session {
  access_token: string;
  refresh_token: string;
  user: { id: string };
}

/** Records the result of a sign-in. A failure is logged and not thrown. */
export async function finishLogin(
  client: CallerClient,
  { email }: Credentials,
  { address, latitude, longitude }: Origin,
  session: Session | null,
): Promise<void> {
  const { error } = await client.rpc("finish_login", {
    account: email,
    ...address ? { address } : {},
    ...session ? { user_id: session.user.id } : {},
    ...latitude !== null && longitude !== null ? { latitude, longitude } : {},
  });
  if (error) console.error(`login: ${error.code} ${error.message}`);
}

/** Address, place and device of a request; the place is read from the headers of the trusted proxy. */
export function originOf(
  request: Request,
  address: string | null,
  placeHeaders: [string, string] | null,
): Origin {
  const [latitude = null, longitude = null] = (placeHeaders ?? []).map((name) => {
    const value = request.headers.get(name);
    return value && Number.isFinite(Number(value)) ? Number(value) : null;
  });
  return { address, latitude, longitude, userAgent: request.headers.get("user-agent") };
}

function unavailable(): BulwarkError {
  return new BulwarkError(
    503,
    "RATE_LIMIT_UNAVAILABLE",
    "Cannot sign in right now: try again later",
  );
}
