import type { RateLimitEnv } from "./env.ts";
import { correlationIdOf, type Handler, refusalIn, withHeaders } from "../foundation/http.ts";
import { installed } from "../foundation/installed.ts";
import { clientAddress } from "./address.ts";
import type { Charge, RateLimitStore } from "./decision.ts";
import { rateLimitHeaders, refusal } from "./headers.ts";
import { type Caller, identifier, type Identify } from "./identity.ts";
import { boundedStore, storeTimeoutMs } from "./limiter.ts";
import { postgresStore } from "./postgres_store.ts";
import { redisStore } from "./redis_store.ts";
import { DeniedNetworkCache } from "./denied_network_cache.ts";
import { sharedRedis } from "../foundation/redis/client.ts";
import { serviceClient } from "../foundation/service.ts";

/**
 * Chooses the rule of a request; null: it is not limited. Never choose by a claim of the client.
 * `caller` is null if the sender is not identified.
 */
export type ChooseRule = (
  request: Request,
  caller: Caller | null,
) => string | null | Promise<string | null>;

/** The rule and the caller that a request was charged to. */
export interface Charged {
  rule: string | null;
  caller: Caller | null;
}

/** A handler of limited requests. */
export type LimitedHandler = (request: Request, charged: Charged) => Promise<Response>;

/** Makes a handler that is limited by a rule. */
export type Limit = (rule: string | ChooseRule, handler: LimitedHandler) => Handler;

/** Dependencies of {@link limitsOf}. */
export interface LimitParts {
  store: RateLimitStore;
  identify: Identify;
  address: (request: Request) => string | null;
  /** Records that a user lacked a permission. */
  noteRefusal: (userId: string, request: Request) => Promise<void>;
}

/**
 * Limits for a function's handlers: `limit("api_default", handler)`. Each request is charged to its
 * user or API key, else to the address that the trusted proxy wrote. Responses carry the RateLimit
 * headers; a refusal is 429 as application/problem+json. If the store (Postgres, or Redis with
 * REDIS_URL) is not available, the rule's failure mode applies. Missing permissions are recorded in
 * the audit log, so that probing is seen. Without the capability rate_limits nothing is limited.
 */
export function openLimits(env: RateLimitEnv, capabilities = installed): Limit {
  if (!capabilities.has("rate_limits")) return unlimited;
  const client = serviceClient(env, crypto.randomUUID());
  return limitsOf({
    store: boundedStore(openStore(env)),
    identify: identifier(env),
    address: (request) => clientAddress(request, env),
    async noteRefusal(actor_id, request) {
      await client.rpc("log_audit_event", {
        event_type: "authz.permission_denied",
        actor_id,
        action: new URL(request.url).pathname.slice(0, 256),
        result: "failure",
      });
    },
  });
}

/** For installations without rate limits: the sender is not identified and nothing is charged. */
const unlimited: Limit = (_rule, handler) => (request) =>
  handler(request, { rule: null, caller: null });

/** The configured store: Redis with REDIS_URL, else Postgres. */
export function openStore(env: RateLimitEnv): RateLimitStore {
  const client = serviceClient(env, crypto.randomUUID(), { timeoutMs: storeTimeoutMs });
  const { redisUrl, redisTimeoutMs, secretKey } = env;
  const redis = sharedRedis({ redisUrl, upstashUrl: null, upstashToken: null }, redisTimeoutMs);
  return redis ? redisStore(redis, client, secretKey) : postgresStore(client);
}

/** {@link openLimits} with the given dependencies. */
export function limitsOf({ store, identify, address, noteRefusal }: LimitParts): Limit {
  const deniedNetworks = new DeniedNetworkCache();
  return (rule, handler) => async (request) => {
    const from = address(request);
    const caller = await identify(request, !deniedNetworks.has(from)).catch(() => null);
    const chosen = typeof rule === "string" ? rule : await rule(request, caller);
    const charged = { rule: chosen, caller };
    if (chosen === null) return await handler(request, charged);
    const charge: Charge = { rule: chosen, ...caller, address: from };
    const decision = await store.decide(charge);
    if (!decision.allowed) {
      if (caller === null) deniedNetworks.add(from, decision.retryAfterSeconds);
      return refusal(decision, correlationIdOf(request));
    }
    const headers = rateLimitHeaders(decision);
    try {
      const answer = await handler(request, charged);
      // A handler that charged another rule has set its headers.
      return answer.headers.has("ratelimit") ? answer : withHeaders(answer, headers);
    } catch (thrown) {
      const refused = refusalIn(thrown);
      if (refused) {
        refused.headers = { ...headers, ...refused.headers };
        if (caller && "userId" in caller && refused.code === "RBAC_PERMISSION_DENIED") {
          await noteRefusal(caller.userId, request).catch(() => {});
        }
      }
      throw thrown;
    }
  };
}
