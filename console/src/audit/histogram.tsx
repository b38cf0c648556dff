import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Problem } from "../ui/parts.tsx";
import { severities } from "./filter.ts";

const day = 86_400_000;
const number = new Intl.NumberFormat();

const fills = {
  debug: "fill-line-strong",
  info: "fill-accent",
  warning: "fill-warn",
  error: "fill-bad",
  critical: "fill-bad",
} as const;

/** Entries by time and severity, as bars and as a table; of the last 30 days unless told since when. */
export function Histogram({ organization, since }: {
  organization: string;
  since: string | undefined;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [asTable, setAsTable] = useState(false);
  const range = useMemo(() => rangeOf(since), [since]);
  const { data, error } = useQuery({
    ...queries.audit.histogram({ ...range.asked, organization_id: organization }),
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
            ? all === 1
              ? t("1 entry since {time}", { time: words.format(bars[0]?.time) })
              : t("{count} entries since {time}", {
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
      {asTable ? <Numbers bars={bars} words={words} /> : (
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

function Numbers({ bars, words }: {
  bars: readonly { time: number; counts: number[]; total: number }[];
  words: Intl.DateTimeFormat;
}) {
  const t = useText();
  return (
    <div
      tabIndex={0}
      role="group"
      aria-label={t("Numbers of entries")}
      className="mt-1 max-h-48 overflow-auto"
    >
      <table className="w-full text-right text-xs">
        <thead>
          <tr>
            <th scope="col" className="cell-head text-left">{t("From")}</th>
            {severities.map((name) => (
              <th key={name} scope="col" className="cell-head px-2">{t(name)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {bars.filter(({ total }) => total > 0).reverse().map(({ time, counts }) => (
            <tr key={time} className="border-t border-line">
              <th scope="row" className="py-1 text-left font-normal whitespace-nowrap">
                {words.format(time)}
              </th>
              {counts.map((count, index) => (
                <td key={index} className="px-2">{number.format(count)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Hours for two days, days for a quarter, otherwise weeks, which begin on Mondays of UTC. */
function rangeOf(since: string | undefined) {
  const now = Date.now();
  const asked = since ? Date.parse(`${since}T00:00:00`) : now - 29 * day;
  const length = now - asked;
  const [bucket, width] = length <= 2 * day
    ? ["1 hour", day / 24] as const
    : length <= 92 * day
    ? ["1 day", day] as const
    : ["7 days", 7 * day] as const;
  // The first of January 1970 was a Thursday.
  const shift = width > day ? 4 * day : 0;
  const first = Math.floor((asked - shift) / width) * width + shift;
  const times = [];
  for (let time = first; time <= now && times.length < 1000; time += width) times.push(time);
  return {
    width,
    times,
    asked: { since: new Date(first).toISOString(), bucket, group_by: "severity" },
  };
}
