/**
 * Function `bulwark-metrics`: metrics for holders of system:monitor in the whole installation, of the
 * scraper's token or of the secret key. Its health route says to anybody whether the installation
 * works, and to those what of it does not.
 */
import { readCacheEnv } from "../_bulwark/cache/env.ts";
import { openCache } from "../_bulwark/cache/mod.ts";
import { answering } from "../_bulwark/foundation/answering.ts";
import { callerClient } from "../_bulwark/foundation/caller.ts";
import type { DataClient } from "../_bulwark/foundation/clients.ts";
import { carriesSecret } from "../_bulwark/foundation/credentials.ts";
import { correlationIdOf, handle, type Handler } from "../_bulwark/foundation/http.ts";
import { serviceClient } from "../_bulwark/foundation/service.ts";
import { readOverview } from "../_bulwark/metrics/console.ts";
import { readMetricsFunctionEnv } from "../_bulwark/metrics/env.ts";
import { contentTypes, toText } from "../_bulwark/metrics/exposition.ts";
import { formatOf, rangeOf } from "../_bulwark/metrics/format.ts";
import { healthRoute, openHealth } from "../_bulwark/metrics/health_route.ts";
import { cacheObserver } from "../_bulwark/metrics/mod.ts";
import { operations } from "../_bulwark/metrics/operations.ts";
import { scrape } from "../_bulwark/metrics/scrape.ts";
import { readRateLimitEnv } from "../_bulwark/rate_limits/env.ts";
import { openLimits } from "../_bulwark/rate_limits/mod.ts";
import { requirePermission } from "../_bulwark/rbac/permissions.ts";

const env = readMetricsFunctionEnv();
const limit = openLimits(readRateLimitEnv());
const cacheEnv = readCacheEnv();
const cache = openCache(cacheEnv, cacheObserver);
const checkHealth = openHealth(env, cacheEnv);

const requireMonitor = (client: DataClient) => requirePermission(client, "system:monitor", null);

/** Wrong tokens are charged like any other request, which limits guessing. */
const monitorOnly = (handler: Handler): Handler => {
  const limited = limit("api_default", async (request) => {
    await requireMonitor(callerClient(request, env));
    return await handler(request);
  });
  const secrets = [env.scrapeToken, env.secretKey];
  return (request) => (carriesSecret(request, secrets) ? handler : limited)(request);
};

const answer = answering(operations, { env, limit }, {
  async read({ request, client, isTrusted, asked }) {
    if (!isTrusted) await requireMonitor(client);
    const service = serviceClient(env, correlationIdOf(request));
    const format = formatOf(request, asked.format);
    if (format === "json") {
      const { since, step } = rangeOf(asked.range);
      return await readOverview(service, since, step);
    }
    const text = toText(await scrape(cache, service, checkHealth), format);
    return new Response(text, { headers: { "content-type": contentTypes[format] } });
  },
  health: healthRoute(checkHealth, env.publishableKey, monitorOnly),
});

Deno.serve(handle(answer));
