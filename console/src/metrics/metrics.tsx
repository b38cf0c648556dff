import { useNavigate, useSearch } from "@tanstack/react-router";
import { OfProject } from "../project.tsx";
import { Heading } from "../ui/parts.tsx";
import { Tabs, usePart } from "../ui/tabs.tsx";
import { Alerts } from "./alerts.tsx";
import { Database } from "./database.tsx";
import { type RangeName, ranges } from "./range.ts";
import { Requests } from "./requests.tsx";

const parts = { requests: "Requests", database: "Database and cache", alerts: "Alerts" } as const;
const screens = { requests: Requests, database: Database, alerts: Alerts };

/** Response times, errors, slow queries, the cache, and alerts about them. */
export function Metrics() {
  const part = usePart(parts);
  const { range = "24h" } = useSearch({ from: "/shell/project/metrics" });
  const navigate = useNavigate({ from: "/project/metrics" });
  const Part = screens[part];
  return (
    <OfProject title="Metrics" permission="system:monitor">
      {() => (
        <>
          <Heading
            action={part !== "alerts" && (
              <select
                aria-label="Range"
                className="field w-auto"
                value={range}
                onChange={({ target }) =>
                  navigate({
                    search: (now) => ({ ...now, range: target.value as RangeName }),
                    replace: true,
                  })}
              >
                {Object.entries(ranges).map(([id, { name }]) => (
                  <option key={id} value={id}>{name}</option>
                ))}
              </select>
            )}
          >
            Metrics
          </Heading>
          <Tabs label="Parts of the metrics" parts={parts} current={part} />
          <Part range={range} />
        </>
      )}
    </OfProject>
  );
}
