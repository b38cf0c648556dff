import { type Cache, cacheKey, namespaces } from "../cache/mod.ts";
import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import type { ScrapedMetric } from "./exposition.ts";
import type { Health } from "./health.ts";

/** Seconds for which a scrape is cached. */
const cacheSeconds = 5;

/** All metrics, the levels of the alerts and the health; at most five seconds old. */
export function scrape(
  cache: Cache,
  service: CallerClient,
  checkHealth: () => Promise<Health>,
): Promise<ScrapedMetric[]> {
  return cache.getOrSet(
    cacheKey(namespaces.metrics, "scrape"),
    async () => {
      const [metrics, alerts, health] = await Promise.all([
        service.rpc("scrape_metrics").then(unwrap),
        service.rpc("list_alerts").then(unwrap),
        checkHealth(),
      ]);
      return [
        ...metrics as unknown as ScrapedMetric[],
        alertLevels(alerts),
        dependencyLevels(health),
      ];
    },
    { ttl: cacheSeconds },
  );
}

const levels = { no_data: -1, ok: 0, warning: 1, critical: 2 };

function alertLevels(alerts: { name: string; state: keyof typeof levels }[]): ScrapedMetric {
  return {
    name: "alert_level",
    kind: "gauge",
    unit: "",
    description: "Status of an alert: -1 no data, 0 ok, 1 warning, 2 critical",
    series: alerts.map(({ name, state }) => [{ alert: name }, 1, 0, levels[state], 0, [], []]),
  };
}

function dependencyLevels({ checks }: Health): ScrapedMetric {
  return {
    name: "dependency_up",
    kind: "gauge",
    unit: "",
    description: "Whether the health check found a dependency to work: 0 or 1",
    series: Object.entries(checks).map((
      [dependency, { status }],
    ) => [{ dependency }, 1, 0, status === "ok" ? 1 : 0, 0, [], []]),
  };
}
