import { BulwarkError } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { queries } from "../connection.ts";
import type { Line } from "./plot.tsx";
import type { Range } from "./range.ts";

type Point = {
  at: string;
  label: string | null;
  count: number;
  total: number | null;
  p50: number | null;
  p95: number | null;
  p99: number | null;
};

/** The part of a metric to read. */
interface Asked {
  labels?: Record<string, string>;
  group_by?: string;
}

/** A metric by step of a range; undefined while unknown. One that was never measured has no points. */
export function useMetric(
  metric: string,
  { asked, step }: Range,
  { labels, group_by }: Asked = {},
) {
  const { data, error } = useQuery({
    ...queries.metrics.read(metric, {
      ...asked,
      step,
      ...labels ? { labels } : {},
      ...group_by ? { group_by } : {},
    }),
    placeholderData: (before) => before,
  });
  const isNew = error instanceof BulwarkError && error.code === "METRICS_UNKNOWN_METRIC";
  const points: readonly Point[] | undefined = isNew ? [] : data;
  return { points, error: isNew ? null : error };
}

/** The 50th, 95th and 99th percentile of each step, as lines. */
export function usePercentiles(points: readonly Point[] | undefined, { times }: Range) {
  return useMemo((): Line[] | undefined => {
    if (!points) return undefined;
    const by = new Map(points.map((point) => [Date.parse(point.at), point]));
    const of = (which: "p50" | "p95" | "p99") => times.map((time) => by.get(time)?.[which] ?? null);
    return [
      { name: "p50", colour: "quiet", values: of("p50") },
      { name: "p95", colour: "accent", values: of("p95") },
      { name: "p99", colour: "warn", dash: [4, 3], values: of("p99") },
    ];
  }, [points, times[0], times.length]);
}

/** For each step the share of points whose label is one of these; null without any. */
export function shares(
  points: readonly Point[],
  times: readonly number[],
  amountOf: (point: Point) => number,
  isCounted: (label: string) => boolean,
): (number | null)[] {
  const sums = new Map<number, { all: number; counted: number }>();
  for (const point of points) {
    const time = Date.parse(point.at);
    const sum = sums.get(time) ?? { all: 0, counted: 0 };
    sum.all += amountOf(point);
    if (isCounted(point.label ?? "")) sum.counted += amountOf(point);
    sums.set(time, sum);
  }
  return times.map((time) => {
    const sum = sums.get(time);
    return sum && sum.all > 0 ? sum.counted / sum.all : null;
  });
}
