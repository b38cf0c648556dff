import type { BulwarkError } from "@bulwark/client";
import { useState } from "react";
import { Problem, Skeleton } from "../ui/parts.tsx";
import { type Line, Plot } from "./plot.tsx";

const marks = { quiet: "text-quiet", accent: "text-accent", warn: "text-warn", bad: "text-bad" };

/** A chart with a legend, which has the values under the pointer, and its numbers as a table. */
export function Chart({ title, wide = false, times, lines, error, format, empty }: {
  title: string;
  /** Whether it takes a row of its own. */
  wide?: boolean;
  times: readonly number[];
  /** Undefined while unknown. */
  lines: readonly Line[] | undefined;
  error: BulwarkError | null;
  format(value: number): string;
  empty: string;
}) {
  const [asTable, setAsTable] = useState(false);
  const [point, setPoint] = useState<number | null>(null);
  const isEmpty = lines?.every(({ values }) => values.every((value) => value === null));
  const last = lines?.[0]?.values.findLastIndex((value) => value !== null) ?? -1;
  const at = point ?? last;
  const time = times[at];
  return (
    <section
      className={`card px-4 py-3 ${wide ? "xl:col-span-2" : ""}`}
      aria-label={title}
      data-chart={title}
    >
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1">
        <h2 className="flex-1 text-base font-semibold whitespace-nowrap">{title}</h2>
        {lines && !isEmpty && (
          <button
            type="button"
            className="link text-xs"
            aria-expanded={asTable}
            onClick={() => setAsTable(!asTable)}
          >
            {asTable ? "As a chart" : "As a table"}
          </button>
        )}
      </div>
      {error && !lines
        ? <Problem error={error} />
        : !lines
        ? <Skeleton lines={4} />
        : isEmpty
        ? <p className="py-8 text-center text-quiet">{empty}</p>
        : asTable
        ? <Numbers title={title} times={times} lines={lines} format={format} />
        : (
          <>
            <p className="flex min-h-5 flex-wrap gap-x-4 text-xs text-quiet">
              {lines.map(({ name, colour, values }) => {
                const value = values[at];
                return (
                  <span key={name} className="whitespace-nowrap">
                    <span aria-hidden className={`${marks[colour]} font-bold`}>–</span> {name}{" "}
                    <span className="font-medium text-ink">
                      {typeof value === "number" ? format(value) : "none"}
                    </span>
                  </span>
                );
              })}
              {time !== undefined && <span className="ml-auto">{moment.format(time)}</span>}
            </p>
            <Plot times={times} lines={lines} format={format} onPoint={setPoint} />
          </>
        )}
    </section>
  );
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function Numbers({ title, times, lines, format }: {
  title: string;
  times: readonly number[];
  lines: readonly Line[];
  format(value: number): string;
}) {
  const rows = times.map((time, index) => ({
    time,
    values: lines.map((line) => line.values[index]),
  }))
    .filter(({ values }) => values.some((value) => typeof value === "number")).reverse();
  return (
    <div
      role="group"
      aria-label={`Numbers: ${title}`}
      tabIndex={0}
      className="relative mt-1 max-h-52 overflow-auto"
    >
      <table className="w-full text-right text-xs">
        <thead>
          <tr>
            <th scope="col" className="cell-head sticky top-0 bg-surface py-1 text-left">Time</th>
            {lines.map(({ name }) => (
              <th key={name} scope="col" className="cell-head sticky top-0 bg-surface px-2 py-1">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ time, values }) => (
            <tr key={time} className="border-t border-line">
              <th scope="row" className="py-1 text-left font-normal whitespace-nowrap">
                {moment.format(time)}
              </th>
              {values.map((value, index) => (
                <td key={index} className="px-2 whitespace-nowrap">
                  {typeof value === "number" ? format(value) : "–"}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
