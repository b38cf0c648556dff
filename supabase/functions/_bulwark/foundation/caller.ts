import type { UnverifiedClaims } from "../cache/cached_permissions.ts";
import { fromBase64Url, fromUtf8 } from "./bytes.ts";
import { type DataClient, openClient } from "./clients.ts";
import { tokenOf } from "./credentials.ts";
import type { Env } from "./env.ts";
import { BulwarkError, unwrap } from "./errors.ts";
import { correlationIdOf } from "./http.ts";
import { measuredFetch } from "../metrics/mod.ts";
import { parseTraceparent } from "./trace.ts";

/** A supabase-js client that acts as somebody, under row-level security. */
export type CallerClient = DataClient;

/** The user that the token of each client names. */
const claimed = new WeakMap<CallerClient, UnverifiedClaims>();

/**
 * The user that a client's token names, for finding what is cached. Nobody verified it, so nothing
 * is decided by it. Null if it names no user.
 */
export function claimedBy(client: CallerClient): UnverifiedClaims | null {
  return claimed.get(client) ?? null;
}

/**
 * A client that acts as the caller of the request. The Data API verifies the token on each call:
 * a forged, expired or missing one gets nothing from it.
 * @throws BulwarkError 401 UNAUTHORIZED where the request carries no bearer token
 */
export function callerClient(request: Request, env: Env): CallerClient {
  const token = tokenOf(request);
  if (!token) {
    throw new BulwarkError(401, "UNAUTHORIZED", "Cannot identify the caller: sign in first");
  }
  const traceparent = request.headers.get("traceparent");
  const traced = traceparent && parseTraceparent(traceparent) ? { traceparent } : {};
  const client = openClient(env.url, env.publishableKey, {
    headers: {
      authorization: `Bearer ${token}`,
      "x-correlation-id": correlationIdOf(request),
      ...traced,
    },
    fetch: measuredFetch,
  });
  const holder = readClaims(token);
  if (holder) claimed.set(client, holder);
  return client;
}

/**
 * That a client acts for a person whose session lives. For answers that row-level security alone
 * decides: to a session that has ended it shows nothing, and does not say why.
 * @throws BulwarkError 401 SESSION_ENDED, 403 ACCOUNT_SUSPENDED
 */
export async function requirePerson(client: CallerClient): Promise<void> {
  // Any function would do that raises for nobody, and this one is cheap.
  unwrap(await client.rpc("mfa_required"));
}

/** The claims `sub` and `session_id` of a token, without verifying it. */
function readClaims(token: string): UnverifiedClaims | null {
  try {
    const payload = fromBase64Url(token.split(".")[1] ?? "");
    const { sub, session_id } = JSON.parse(fromUtf8(payload ?? new Uint8Array()));
    return isId(sub) ? { subject: sub, session: isId(session_id) ? session_id : null } : null;
  } catch {
    return null;
  }
}

function isId(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f-]{36}$/i.test(value);
}
