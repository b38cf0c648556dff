import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useState } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Problem } from "../ui/parts.tsx";
import { severities } from "./filter.ts";
import type { Question } from "./question.ts";

const Numbers = lazy(() => import("./histogram_numbers.tsx"));

const day = 86_400_000;
const number = new Intl.NumberFormat();

const sentences = {
  period: { one: "1 entry in this period", many: "{count} entries in this period" },
  recent: { one: "1 entry since {time}", many: "{count} entries since {time}" },
};

const fills = {
  debug: "fill-line-strong",
  info: "fill-accent",
  warning: "fill-warn",
  error: "fill-bad",
  critical: "fill-bad",
} as const;

/** Entries by time and severity, as bars and as a table; by default of the last 30 days. */
export function Histogram({ question, enabled }: { question: Question; enabled: boolean }) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [asTable, setAsTable] = useState(false);
  const { since, until } = question;
  const isPeriod = Boolean(since ?? until);
  const range = useMemo(() => rangeOf(since ?? undefined, until ?? undefined), [since, until]);
  const { data, error } = useQuery({
    ...queries.audit.histogram({ ...question, ...range.asked }),
    enabled,
    refetchInterval: 60_000,
    placeholderData: (before) => before,
  });
  if (error) return <Problem error={error} />;
  const bars = range.times.map((time, index) => {
    const until = range.times[index + 1] ?? Infinity;
    const within = (data?.buckets ?? []).filter(({ at }) => {
      const moment = Date.parse(at);
      return moment >= time && moment < until;
    });
    const counts = severities.map((severity) =>
      within.filter(({ label }) => label === severity)
        .reduce((sum, { count }) => sum + count, 0)
    );
    return { time, counts, total: counts.reduce((sum, count) => sum + count, 0) };
  });
  const most = Math.max(1, ...bars.map(({ total }) => total));
  const all = bars.reduce((sum, { total }) => sum + total, 0);
  const words = new Intl.DateTimeFormat(undefined, {
    dateStyle: "medium",
    ...(range.width < day ? { timeStyle: "short" } : { timeZone: "UTC" }),
  });
  return (
    <section className="card px-3 py-2" aria-label={t("Entries by time")}>
      <div className="flex items-center gap-3 text-xs text-quiet">
        <span className="flex-1" data-histogram={data ? all : undefined}>
          {data
            ? t(sentences[isPeriod ? "period" : "recent"][all === 1 ? "one" : "many"], {
              count: number.format(all),
              time: words.format(bars[0]?.time),
            })
            : t("Counting")}
          {data?.next && t(", and more that were not counted in time")}
        </span>
        <button
          type="button"
          className="link"
          aria-expanded={asTable}
          onClick={() => setAsTable(!asTable)}
        >
          {asTable ? t("As a chart") : t("As a table")}
        </button>
      </div>
      {asTable
        ? (
          <Suspense fallback={null}>
            <Numbers bars={bars} words={words} />
          </Suspense>
        )
        : (
          <svg
            role="img"
            aria-label={t("Entries by time, at most {count}; the table has the numbers", {
              count: number.format(most),
            })}
            viewBox={`0 0 ${bars.length * 10} 40`}
            preserveAspectRatio="none"
            className="mt-1 h-12 w-full"
          >
            {bars.map(({ time, counts, total }, index) => {
              let top = 40;
              return (
                <g key={time}>
                  <title>{`${words.format(time)}: ${number.format(total)}`}</title>
                  <rect x={index * 10} y={39.5} width={9} height={0.5} className="fill-line" />
                  {counts.map((count, which) => {
                    const height = 38 * count / most;
                    top -= height;
                    const severity = severities[which]!;
                    return count > 0 && (
                      <rect
                        key={severity}
                        x={index * 10}
                        y={top}
                        width={9}
                        height={height}
                        className={fills[severity]}
                      />
                    );
                  })}
                </g>
              );
            })}
          </svg>
        )}
    </section>
  );
}

/** Hours for two days, days for a quarter, otherwise weeks, which begin on Mondays of UTC. */
function rangeOf(since: string | undefined, until: string | undefined) {
  const end = until ? Date.parse(until) : Date.now();
  const begin = since ? Date.parse(since) : end - 29 * day;
  const length = end - begin;
  const [bucket, width] = length <= 2 * day
    ? ["1 hour", day / 24] as const
    : length <= 92 * day
    ? ["1 day", day] as const
    : ["7 days", 7 * day] as const;
  // The first of January 1970 was a Thursday.
  const shift = width > day ? 4 * day : 0;
  const first = Math.floor((begin - shift) / width) * width + shift;
  const times = [];
  for (let time = first; time <= end && times.length < 1000; time += width) times.push(time);
  return {
    width,
    times,
    asked: { since: since ?? new Date(first).toISOString(), bucket, group_by: "severity" },
  };
}
