import { keyComparison } from "../encryption/key_comparison.ts";
import { bearerOf } from "../foundation/credentials.ts";
import type { Handler } from "../foundation/http.ts";
import { parse, queryOf } from "../foundation/input.ts";
import { installed } from "../foundation/installed.ts";
import { type RedisEnv, sharedRedis } from "../foundation/redis/client.ts";
import { serviceClient } from "../foundation/service.ts";
import type { MetricsFunctionEnv } from "./env.ts";
import { type Health, healthCheck, type HealthParts } from "./health.ts";
import { operations } from "./operations.ts";

/** The health check of this environment. */
export function openHealth(
  env: MetricsFunctionEnv,
  redisEnv: RedisEnv & { cacheTimeoutMs: number },
): () => Promise<Health> {
  const service = serviceClient(env, crypto.randomUUID(), { timeoutMs: 2000 });
  return healthCheck({
    service,
    redis: openRedis(redisEnv),
    compareKeys: installed.has("encryption") ? keyComparison(service, env.encryptionKeys) : null,
  });
}

/** A Redis whose address is malformed is one that fails. */
function openRedis(env: RedisEnv & { cacheTimeoutMs: number }): HealthParts["redis"] {
  try {
    return sharedRedis(env, env.cacheTimeoutMs);
  } catch (thrown) {
    return { call: () => Promise.reject(thrown) };
  }
}

/**
 * The route of health. A load balancer has no credentials, gets the status alone and is not limited:
 * its calls share one answer. Anybody with another bearer than the publishable key is identified first,
 * by `monitorOnly`, and gets each check.
 */
export function healthRoute(
  check: () => Promise<Health>,
  publishableKey: string,
  monitorOnly: (handler: Handler) => Handler,
): Handler {
  const answer = (details: boolean): Handler => async (request) => {
    const { strict } = parse(operations.health.input, queryOf(request));
    return answerHealth(await check(), { strict: strict !== "false", details });
  };
  const open = answer(false);
  const closed = monitorOnly(answer(true));
  return (request) => {
    const bearer = bearerOf(request);
    return (bearer === null || bearer === publishableKey ? open : closed)(request);
  };
}

/**
 * The answer to a health request: 503 without the database, with `strict` also if anything else
 * fails, else 200. Only with `details` it says what fails.
 */
export function answerHealth(
  { status, checks }: Health,
  { strict, details }: { strict: boolean; details: boolean },
): Response {
  const isDown = status === "unavailable" || strict && status !== "ok";
  return Response.json(details ? { status, checks } : { status }, {
    status: isDown ? 503 : 200,
    headers: isDown ? { "retry-after": "5" } : {},
  });
}
