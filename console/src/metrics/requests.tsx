import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { queries } from "../connection.ts";
import { Empty } from "../ui/parts.tsx";
import { Cell, Row, Table } from "../ui/table.tsx";
import { Chart } from "./chart.tsx";
import type { Line } from "./plot.tsx";
import { type Range, type RangeName, useRange } from "./range.ts";
import { shares, useMetric, usePercentiles } from "./series.ts";
import { asShare, count, inMilliseconds, withUnit } from "./words.ts";

const nothing = "No function was called in this time.";

/** Response times and errors of the functions, of all or of one. */
export function Requests({ range: name }: { range: RangeName }) {
  const { route } = useSearch({ from: "/shell/project/metrics" });
  const range = useRange(name);
  const labels = route ? { function: route } : {};
  const times = useMetric("api_response_time", range, { labels });
  const answers = useMetric("api_response_time", range, { labels, group_by: "status" });
  const failed = useMemo((): Line[] | undefined => {
    if (!answers.points) return undefined;
    const of = (status: string) =>
      shares(answers.points!, range.times, (point) => point.count, (label) => label === status);
    return [
      { name: "failed (5xx)", colour: "bad", values: of("5xx") },
      { name: "refused (4xx)", colour: "quiet", dash: [4, 3], values: of("4xx") },
    ];
  }, [answers.points, range.asked.since]);
  const amounts = useMemo((): Line[] | undefined => {
    if (!times.points) return undefined;
    const by = new Map(times.points.map(({ at, count }) => [Date.parse(at), count]));
    const values = range.times.map((time) => {
      const requests = by.get(time);
      return requests === undefined ? null : requests / range.stepMinutes;
    });
    return [{ name: "requests a minute", colour: "accent", values }];
  }, [times.points, range.asked.since]);
  return (
    <>
      {route && <Chosen route={route} />}
      <div className="grid grid-cols-[minmax(0,1fr)] gap-4 xl:grid-cols-2">
        <Chart
          title="Response time"
          wide
          times={range.times}
          lines={usePercentiles(times.points, range)}
          error={times.error}
          format={inMilliseconds}
          empty={nothing}
        />
        <Chart
          title="Errors"
          times={range.times}
          lines={failed}
          error={answers.error}
          format={asShare}
          empty={nothing}
        />
        <Chart
          title="Requests"
          times={range.times}
          lines={amounts}
          error={times.error}
          format={(value) => withUnit(value, undefined)}
          empty={nothing}
        />
      </div>
      <Routes range={range} />
    </>
  );
}

function Chosen({ route }: { route: string }) {
  const navigate = useNavigate({ from: "/project/metrics" });
  return (
    <button
      type="button"
      className="button justify-self-start"
      onClick={() => navigate({ search: ({ route: _, ...now }) => now, replace: true })}
    >
      Function: {route}
      <span aria-hidden>×</span>
      <span className="sr-only">(remove filter)</span>
    </button>
  );
}

function Routes({ range: { asked } }: { range: Range }) {
  const navigate = useNavigate({ from: "/project/metrics" });
  const keep = <Data,>(before: Data | undefined) => before;
  const { data: routes, error } = useQuery({
    ...queries.metrics.read("api_response_time", { ...asked, group_by: "function" }),
    placeholderData: keep,
  });
  const { data: failures } = useQuery({
    ...queries.metrics.read("api_response_time", {
      ...asked,
      group_by: "function",
      labels: { status: "5xx" },
    }),
    placeholderData: keep,
  });
  const failed = new Map(failures?.map(({ label, count }) => [label, count]));
  const sorted = routes?.toSorted((one, other) => (other.p95 ?? 0) - (one.p95 ?? 0));
  const time = (value: number | null) => value === null ? "–" : inMilliseconds(value);
  return (
    <Table
      label="Functions"
      columns={["Function", "Requests", "Failed", "p50", "p95", "p99", "Slowest"]}
      rows={error?.code === "METRICS_UNKNOWN_METRIC" ? [] : sorted}
      error={error?.code === "METRICS_UNKNOWN_METRIC" ? null : error}
      empty={<Empty title={nothing}>Each of them is listed here with its response times.</Empty>}
    >
      {({ label, count: requests, p50, p95, p99, maximum }) => {
        const errors = failed.get(label) ?? 0;
        return (
          <Row key={label} data-route={label}>
            <Cell className="whitespace-nowrap">
              <button
                type="button"
                className="link font-mono text-xs"
                onClick={() =>
                  navigate({
                    search: (now) => ({ ...now, ...label ? { route: label } : {} }),
                    replace: true,
                  })}
              >
                {label}
              </button>
            </Cell>
            <Cell>{count.format(requests)}</Cell>
            <Cell className={errors > 0 ? "text-bad" : "text-quiet"}>
              {errors > 0 ? `${count.format(errors)} (${asShare(errors / requests)})` : "none"}
            </Cell>
            <Cell className="whitespace-nowrap">{time(p50)}</Cell>
            <Cell className="font-medium whitespace-nowrap">{time(p95)}</Cell>
            <Cell className="whitespace-nowrap">{time(p99)}</Cell>
            <Cell className="whitespace-nowrap text-quiet">{time(maximum)}</Cell>
          </Row>
        );
      }}
    </Table>
  );
}
