import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { queries } from "../connection.ts";
import { Copy, Empty } from "../ui/parts.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Chart } from "./chart.tsx";
import type { Line } from "./plot.tsx";
import { type RangeName, useRange } from "./range.ts";
import { shares, useMetric, usePercentiles } from "./series.ts";
import { asShare, count, inMilliseconds } from "./words.ts";

/** The time functions wait for the database, the cache, and the queries that cost most. */
export function Database({ range: name }: { range: RangeName }) {
  const range = useRange(name);
  const times = useMetric("database_query_time", range);
  const cache = useMetric("cache_requests", range, { group_by: "outcome" });
  const hits = useMemo((): Line[] | undefined => {
    if (!cache.points) return undefined;
    const values = shares(
      cache.points,
      range.times,
      (point) => point.total ?? 0,
      (outcome) => outcome !== "load" && outcome !== "miss",
    );
    return [{ name: "found in the cache", colour: "accent", values }];
  }, [cache.points, range.asked.since]);
  return (
    <>
      <div className="grid grid-cols-[minmax(0,1fr)] gap-4 xl:grid-cols-2">
        <Chart
          title="Database calls"
          times={range.times}
          lines={usePercentiles(times.points, range)}
          error={times.error}
          format={inMilliseconds}
          empty="No function asked the database in this time."
        />
        <Chart
          title="Cache hit rate"
          times={range.times}
          lines={hits}
          error={cache.error}
          format={asShare}
          empty="Nothing was looked up in the cache in this time."
        />
      </div>
      <Queries />
    </>
  );
}

function Queries() {
  const { data, error } = useQuery({ ...queries.metrics.topQueries(20), refetchInterval: 60_000 });
  return (
    <>
      <div>
        <h2 className="text-base font-semibold">Queries with the most time</h2>
        <p className="text-quiet">Since the statistics of Postgres began, without their values.</p>
      </div>
      <Table
        label="Queries with the most time"
        columns={["Query", "Share", "Calls", "Mean", "Slowest", "Rows a call"]}
        rows={data}
        error={error}
        empty={
          <Empty title="No statistics about queries">
            Postgres collects them with the extension pg_stat_statements.
          </Empty>
        }
      >
        {({ query, share, calls, mean_ms, maximum_ms, returned_rows }) => (
          <Row key={query} data-query>
            <Cell className="w-full max-w-0 min-w-64">
              <span
                className="block truncate [&>button]:block [&>button]:w-full [&>button]:truncate"
                title={query}
              >
                <Copy text={query} label="Copy the query">
                  {query.length > 160 ? `${query.slice(0, 160)}…` : query}
                </Copy>
              </span>
            </Cell>
            <Cell className="font-medium">{asShare(share)}</Cell>
            <Cell>{count.format(calls)}</Cell>
            <Cell className="whitespace-nowrap">{inMilliseconds(mean_ms)}</Cell>
            <Cell className="whitespace-nowrap">{inMilliseconds(maximum_ms)}</Cell>
            <Cell>{count.format(calls > 0 ? Math.round(returned_rows / calls) : 0)}</Cell>
          </Row>
        )}
      </Table>
    </>
  );
}
