import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

/** One line of a chart. */
export interface Line {
  name: string;
  colour: "quiet" | "accent" | "warn" | "bad";
  dash?: readonly number[];
  values: readonly (number | null)[];
}

const colours = {
  quiet: "text-quiet",
  accent: "text-accent",
  warn: "text-warn",
  bad: "text-bad",
  line: "text-line",
} as const;

/** Lines over time on a canvas, in the colours of the theme. Tells the point under the pointer. */
export function Plot({ times, lines, format, onPoint }: {
  times: readonly number[];
  lines: readonly Line[];
  format(value: number): string;
  onPoint(index: number | null): void;
}) {
  const holder = useRef<HTMLDivElement>(null);
  const probes = useRef<Partial<Record<keyof typeof colours, HTMLSpanElement | null>>>({});
  const shown = useRef<uPlot | null>(null);
  const data: uPlot.AlignedData = [
    times.map((time) => time / 1000),
    ...lines.map(({ values }) => [...values]),
  ];
  const current = useRef({ data, format, onPoint });
  current.current = { data, format, onPoint };
  const names = lines.map(({ name }) => name).join();

  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const colour = (name: keyof typeof colours) => () => {
      const probe = probes.current[name];
      return probe ? getComputedStyle(probe).color : "";
    };
    const axis = {
      stroke: colour("quiet"),
      font: "11px Inter, system-ui, sans-serif",
      grid: { stroke: colour("line"), width: 1 },
      ticks: { show: false },
    };
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: 180,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
        axes: [
          { ...axis, size: 28, values: (_plot, splits) => splits.map(timeWords(splits)) },
          {
            ...axis,
            size: 56,
            values: (_plot, splits) => splits.map((value) => current.current.format(value)),
          },
        ],
        series: [
          {},
          ...lines.map(({ name, colour: which, dash }) => ({
            label: name,
            stroke: colour(which),
            width: 1.5,
            // A value between gaps has no line.
            points: { show: fewPoints, size: 5, fill: colour(which) },
            ...dash ? { dash: [...dash] } : {},
          })),
        ],
        hooks: { setCursor: [({ cursor }) => current.current.onPoint(cursor.idx ?? null)] },
      },
      current.current.data,
      element,
    );
    shown.current = plot;
    const resized = new ResizeObserver(() =>
      plot.setSize({ width: element.clientWidth, height: 180 })
    );
    resized.observe(element);
    const redraw = () => plot.redraw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", redraw);
    const chosen = new MutationObserver(redraw);
    chosen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      resized.disconnect();
      chosen.disconnect();
      dark.removeEventListener("change", redraw);
      plot.destroy();
      shown.current = null;
    };
    // The other properties are read through a reference.
  }, [names]);

  useEffect(() => shown.current?.setData(data), [times, lines]);

  return (
    <>
      {Object.entries(colours).map(([name, look]) => (
        <span
          key={name}
          hidden
          className={look}
          ref={(element) => {
            probes.current[name as keyof typeof colours] = element;
          }}
        />
      ))}
      <div ref={holder} aria-hidden className="min-h-[180px] w-full overflow-hidden" />
    </>
  );
}

/** Whether a line has so few values that each is drawn. */
function fewPoints(plot: uPlot, line: number): boolean {
  const values = plot.data[line] ?? [];
  return Array.from(values).filter((value) => value !== null).length < 40;
}

/** Times of day within two days, otherwise dates. */
function timeWords(splits: readonly number[]): (split: number) => string {
  const length = (splits.at(-1) ?? 0) - (splits[0] ?? 0);
  const words = new Intl.DateTimeFormat(
    undefined,
    length <= 2 * 86_400 ? { timeStyle: "short" } : { month: "short", day: "numeric" },
  );
  return (split) => words.format(split * 1000);
}
