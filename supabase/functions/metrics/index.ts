/**
 * Function `metrics`: `GET /metrics` answers with all metrics as Prometheus or OpenMetrics text, or
 * with `?format=json` (or that in Accept) with what the console shows. For whoever holds
 * system:monitor for the whole installation, for a scraper with its token, and for the secret key.
 */
import { openCache } from "../_shared/cache.ts";
import { callerClient } from "../_shared/caller.ts";
import { readCacheEnv, readMetricsFunctionEnv, readRateLimitEnv } from "../_shared/env.ts";
import { carriesSecret } from "../_shared/credentials.ts";
import { correlationIdOf, handle } from "../_shared/http.ts";
import { parse, queryOf } from "../_shared/input.ts";
import { cacheObserver } from "../_shared/metrics.ts";
import { readOverview } from "../_shared/metrics/console.ts";
import { contentTypes, toText } from "../_shared/metrics/exposition.ts";
import { formatOf, metricsQuery, rangeOf } from "../_shared/metrics/format.ts";
import { scrape } from "../_shared/metrics/scrape.ts";
import { requirePermission } from "../_shared/permissions.ts";
import { openLimits } from "../_shared/rate_limit.ts";
import { router } from "../_shared/router.ts";
import { serviceClient } from "../_shared/service.ts";

const env = readMetricsFunctionEnv();
const limit = openLimits(readRateLimitEnv());
const tokens = [env.scrapeToken, env.secretKey];
/** Guesses at the scraper's token are charged like any other request. */
const rule = (request: Request) => carriesSecret(request, tokens) ? null : "api_default";
const cache = openCache(readCacheEnv(), cacheObserver);

const answer = limit(rule, async (request) => {
  if (!carriesSecret(request, tokens)) {
    await requirePermission(callerClient(request, env), "system:monitor", null);
  }
  const service = serviceClient(env, correlationIdOf(request));
  const asked = parse(metricsQuery, queryOf(request));
  const format = formatOf(request, asked.format);
  if (format === "json") {
    const { since, step } = rangeOf(asked.range);
    return Response.json(await readOverview(service, since, step));
  }
  const text = toText(await scrape(cache, service), format);
  return new Response(text, { headers: { "content-type": contentTypes[format] } });
});

Deno.serve(handle(router(limit, { "GET /metrics": answer })));
