/**
 * Function `bulwark-metrics`: `GET /bulwark-metrics` returns all metrics as Prometheus or OpenMetrics
 * text, or with `?format=json` (or that in Accept) the console's overview. Access: system:monitor for
 * the whole installation, the scraper's token, or the secret key. `GET /bulwark-metrics/health` says
 * to anybody whether the installation works, and to those what of it does not.
 */
import { openCache } from "../_bulwark/cache/mod.ts";
import { callerClient } from "../_bulwark/foundation/caller.ts";
import { readCacheEnv } from "../_bulwark/cache/env.ts";
import { readMetricsFunctionEnv } from "../_bulwark/metrics/env.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { carriesSecret } from "../_bulwark/foundation/credentials.ts";
import { correlationIdOf, handle, type Handler } from "../_bulwark/foundation/http.ts";
import { parse, queryOf } from "../_bulwark/foundation/input.ts";
import { cacheObserver } from "../_bulwark/metrics/mod.ts";
import { readOverview } from "../_bulwark/metrics/console.ts";
import { contentTypes, toText } from "../_bulwark/metrics/exposition.ts";
import { formatOf, metricsQuery, rangeOf } from "../_bulwark/metrics/format.ts";
import { healthRoute, openHealth } from "../_bulwark/metrics/health_route.ts";
import { scrape } from "../_bulwark/metrics/scrape.ts";
import { requirePermission } from "../_bulwark/rbac/permissions.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { router } from "../_bulwark/foundation/router.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";

const env = readMetricsFunctionEnv();
const limit = openLimits(readRateLimitEnv());
const tokens = [env.scrapeToken, env.secretKey];
/** Wrong tokens are charged like any other request, which limits guessing. */
const rule = (request: Request) => carriesSecret(request, tokens) ? null : "api_default";
const cacheEnv = readCacheEnv();
const cache = openCache(cacheEnv, cacheObserver);
const checkHealth = openHealth(env, cacheEnv);

/** For holders of system:monitor, the scraper's token or the secret key. */
const monitorOnly = (handler: Handler): Handler =>
  limit(rule, async (request) => {
    if (!carriesSecret(request, tokens)) {
      await requirePermission(callerClient(request, env), "system:monitor", null);
    }
    return await handler(request);
  });

const metrics = monitorOnly(async (request) => {
  const service = serviceClient(env, correlationIdOf(request));
  const asked = parse(metricsQuery, queryOf(request));
  const format = formatOf(request, asked.format);
  if (format === "json") {
    const { since, step } = rangeOf(asked.range);
    return Response.json(await readOverview(service, since, step));
  }
  const text = toText(await scrape(cache, service, checkHealth), format);
  return new Response(text, { headers: { "content-type": contentTypes[format] } });
});

Deno.serve(handle(router(limit, {
  "GET /bulwark-metrics": metrics,
  "GET /bulwark-metrics/health": healthRoute(checkHealth, env.publishableKey, monitorOnly),
})));
