import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { queries } from "../connection.ts";
import { Badge, Empty } from "../ui/parts.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";

const states: Record<number, { word: string; tone: "good" | "warn" | "bad" | "quiet" }> = {
  [-1]: { word: "unknown", tone: "quiet" },
  0: { word: "runs", tone: "good" },
  1: { word: "late", tone: "warn" },
  2: { word: "fails", tone: "bad" },
  3: { word: "not scheduled", tone: "bad" },
};

/** The scheduled jobs, as they were measured in the last minutes. */
export function Jobs() {
  const [since, setSince] = useState(fiveMinutesAgo);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setSince(fiveMinutesAgo()), 60_000);
    return () => clearInterval(timer);
  }, []);
  const { data, error } = useQuery({
    ...queries.metrics.read("job_state", { since, group_by: "name" }),
    placeholderData: (before) => before,
  });
  const never = error?.code === "METRICS_UNKNOWN_METRIC";
  const jobs = never ? [] : data?.toSorted((one, other) => (other.last ?? 0) - (one.last ?? 0));
  return (
    <>
      <div>
        <h2 className="text-base font-semibold">Scheduled jobs</h2>
        {jobs?.some(({ last }) => last === -1) && (
          <p className="text-quiet">Unknown: pg_cron is not installed, or keeps no log.</p>
        )}
      </div>
      <Table
        label="Scheduled jobs"
        columns={["Job", "State"]}
        rows={jobs}
        error={never ? null : error}
        empty={
          <Empty title="Jobs were not measured in the last five minutes">
            Without the extension pg_cron nothing runs by itself.
          </Empty>
        }
      >
        {({ label, last }) => {
          const { word, tone } = states[last ?? -1] ?? states[-1]!;
          return (
            <Row key={label} data-job={label}>
              <Cell className="font-mono text-xs whitespace-nowrap">{label}</Cell>
              <Cell>
                <Badge tone={tone}>{word}</Badge>
              </Cell>
            </Row>
          );
        }}
      </Table>
    </>
  );
}

function fiveMinutesAgo(): string {
  return new Date(Math.floor(Date.now() / 60_000) * 60_000 - 5 * 60_000).toISOString();
}
