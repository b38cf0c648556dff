import { type CallerClient, callerClient } from "./caller.ts";
import { type ClientOptions, type DataClient, openClient } from "./clients.ts";
import { carriesSecret } from "./credentials.ts";
import type { Env } from "./env.ts";
import { correlationIdOf } from "./http.ts";
import { measuredFetch } from "../metrics/mod.ts";

/** A client with the secret key, for work that a function does on its own behalf. */
export function serviceClient(
  { url, secretKey }: { url: string; secretKey: string },
  correlationId: string,
  options: Pick<ClientOptions, "timeoutMs"> = {},
): DataClient {
  const headers = { "x-correlation-id": correlationId };
  return openClient(url, secretKey, { ...options, headers, fetch: measuredFetch });
}

/**
 * A client that acts as the caller of the request: a user by their token, or the service role by the
 * secret key.
 * @throws BulwarkError 401 UNAUTHORIZED if the request has neither
 */
export function callerOrService(request: Request, env: Env & { secretKey: string }): CallerClient {
  return carriesSecret(request, [env.secretKey])
    ? serviceClient(env, correlationIdOf(request))
    : callerClient(request, env);
}
