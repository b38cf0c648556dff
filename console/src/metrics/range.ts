import { useEffect, useState } from "react";

const minute = 60_000;

/** The ranges to choose from, each with the minutes of a point. */
export const ranges = {
  "1h": { name: "Last hour", minutes: 60, step: 1 },
  "6h": { name: "Last 6 hours", minutes: 360, step: 5 },
  "24h": { name: "Last 24 hours", minutes: 1440, step: 15 },
  "7d": { name: "Last 7 days", minutes: 10_080, step: 120 },
  "30d": { name: "Last 30 days", minutes: 43_200, step: 480 },
} as const;

export type RangeName = keyof typeof ranges;

/** The state of the screen, as it stands in the address. */
export interface MetricsSearch {
  part?: string;
  range?: RangeName;
  /** The function whose requests are shown; all by default. */
  route?: string;
}

/** Reads it from an address; ignores other values. */
export function readMetricsSearch(given: Record<string, unknown>): MetricsSearch {
  const { part, range, route } = given;
  return {
    ...typeof part === "string" ? { part } : {},
    ...typeof range === "string" && Object.hasOwn(ranges, range)
      ? { range: range as RangeName }
      : {},
    ...typeof route === "string" && route ? { route } : {},
  };
}

/** A range up to now, with the beginnings of its points in milliseconds. */
export interface Range {
  asked: { since: string; until: string };
  step: string;
  stepMinutes: number;
  times: readonly number[];
}

/** The range that ends now. It moves on with each step, at most once a minute, not in a hidden tab. */
export function useRange(name: RangeName): Range {
  const { minutes, step } = ranges[name];
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setNow(Date.now()), minute);
    return () => clearInterval(timer);
  }, []);
  const length = step * minute;
  // With the current step, and whole steps before it, so that points stay where they are.
  const until = Math.floor(now / length) * length + length;
  const since = until - minutes * minute;
  return {
    asked: { since: new Date(since).toISOString(), until: new Date(until).toISOString() },
    step: `${step} minutes`,
    stepMinutes: step,
    times: Array.from({ length: minutes / step }, (_, index) => since + index * length),
  };
}
