import type { RateLimitEnv } from "./env.ts";
import { BulwarkError } from "./errors.ts";
import { correlationIdOf, type Handler, withHeaders } from "./http.ts";
import { clientAddress } from "./rate_limit/address.ts";
import type { Charge, RateLimitStore } from "./rate_limit/decision.ts";
import { rateLimitHeaders, refusal } from "./rate_limit/headers.ts";
import { identifier, type Identify } from "./rate_limit/identity.ts";
import { boundedStore } from "./rate_limit/limiter.ts";
import { postgresStore } from "./rate_limit/postgres_store.ts";
import { redisStore } from "./rate_limit/redis_store.ts";
import { TurnedAway } from "./rate_limit/turned_away.ts";
import { sharedRedis } from "./redis/client.ts";
import { serviceClient } from "./service.ts";

/** The rule for a request; null: it is not limited. */
export type ChooseRule = (request: Request) => string | null;

/** Limits what a handler answers. */
export type Limit = (rule: string | ChooseRule, handler: Handler) => Handler;

/** What limiting needs; a test brings its own. */
export interface LimitParts {
  store: RateLimitStore;
  identify: Identify;
  address: (request: Request) => string | null;
  /** Notes that somebody was refused for want of a permission. */
  noteRefusal: (userId: string, request: Request) => Promise<void>;
}

/**
 * Limits for a function's handlers: `limit("api_default", handler)`. Each request is charged to its
 * user, else to the address that the trusted proxy wrote; an answer carries the RateLimit headers, a
 * refusal is 429 as application/problem+json. Where the store (Postgres, or Redis with REDIS_URL) is
 * away, a rule decides as it says. Whoever is refused for want of a permission is noted, so that
 * probing is seen.
 */
export function openLimits(env: RateLimitEnv): Limit {
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

/** The store that the environment names: Redis with REDIS_URL, else Postgres. */
export function openStore(env: RateLimitEnv): RateLimitStore {
  const client = serviceClient(env, crypto.randomUUID());
  const { redisUrl, redisTimeout, secretKey } = env;
  const redis = sharedRedis({ redisUrl, upstashUrl: null, upstashToken: null }, redisTimeout);
  return redis ? redisStore(redis, client, secretKey) : postgresStore(client);
}

/** The limits that these parts make. */
export function limitsOf({ store, identify, address, noteRefusal }: LimitParts): Limit {
  const turnedAway = new TurnedAway();
  return (rule, handler) => async (request) => {
    const chosen = typeof rule === "string" ? rule : rule(request);
    if (chosen === null) return await handler(request);
    const from = address(request);
    const userId = await identify(request, !turnedAway.has(from)).catch(() => null);
    const charge: Charge = { rule: chosen, userId, address: from };
    const decision = await store.decide(charge);
    if (!decision.allowed) {
      if (userId === null) turnedAway.note(from, decision.retryAfterSeconds);
      return refusal(decision, correlationIdOf(request));
    }
    const headers = rateLimitHeaders(decision);
    try {
      return withHeaders(await handler(request), headers);
    } catch (thrown) {
      if (thrown instanceof BulwarkError) {
        thrown.headers = { ...headers, ...thrown.headers };
        if (userId && thrown.code === "RBAC_PERMISSION_DENIED") {
          await noteRefusal(userId, request).catch(() => {});
        }
      }
      throw thrown;
    }
  };
}
