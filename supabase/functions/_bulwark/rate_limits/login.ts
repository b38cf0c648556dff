import type { CallerClient } from "../foundation/caller.ts";
import type { Env } from "../foundation/env.ts";
import { BulwarkError } from "../foundation/errors.ts";
import type { Decision } from "./decision.ts";
import { type DecisionRow, fromRow, onlyRow } from "./postgres_store.ts";

/** What somebody signs in with. */
export interface Credentials {
  email: string;
  password: string;
  captcha_token?: string | undefined;
}

/** Where a sign-in comes from, as far as a trusted proxy says it. */
export interface Origin {
  address: string | null;
  latitude: number | null;
  longitude: number | null;
}

/** Milliseconds. */
const patience = 5000;
/**
 * How long Auth's refusal takes at least, in milliseconds: where there is no account it checks no
 * password, and is done a tenth of a second sooner.
 */
export const refusalMilliseconds = 500;

/**
 * Charges the address and the account of a sign-in before it is tried.
 * @throws BulwarkError 503 RATE_LIMIT_UNAVAILABLE where that cannot be decided: nobody guesses
 * passwords while nobody counts
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
 * Asks Supabase Auth for a session, as it is: the body of its answer, or null where it refuses,
 * for whatever reason and no sooner for an account that does not exist.
 * @throws BulwarkError 503 RATE_LIMIT_UNAVAILABLE where Auth does not decide
 */
export async function signIn(env: Env, credentials: Credentials): Promise<Session | null> {
  const { email, password, captcha_token } = credentials;
  const start = performance.now();
  const answer = await fetch(`${env.url}/auth/v1/token?grant_type=password`, {
    method: "POST",
    headers: { apikey: env.publishableKey, "content-type": "application/json" },
    body: JSON.stringify({
      email,
      password,
      ...captcha_token ? { gotrue_meta_security: { captcha_token } } : {},
    }),
    signal: AbortSignal.timeout(patience),
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

/** What Supabase Auth answers to a sign-in; it goes to the client as it is. */
export interface Session {
  access_token: string;
  refresh_token: string;
  user: { id: string };
}

/** Notes how a sign-in ended; a failure to do so is logged and changes nothing. */
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

/** Where a request comes from, by the headers that the trusted proxy writes. */
export function originOf(
  request: Request,
  address: string | null,
  placeHeaders: [string, string] | null,
): Origin {
  const [latitude = null, longitude = null] = (placeHeaders ?? []).map((name) => {
    const value = request.headers.get(name);
    return value && Number.isFinite(Number(value)) ? Number(value) : null;
  });
  return { address, latitude, longitude };
}

function unavailable(): BulwarkError {
  return new BulwarkError(
    503,
    "RATE_LIMIT_UNAVAILABLE",
    "Cannot sign in right now: try again later",
  );
}
