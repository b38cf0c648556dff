/**
 * Growth curves as SVG: one panel for each quantity that a benchmark measured at several sizes, with
 * the size on a logarithmic axis and the spread of the rounds as bars. Plain shapes and system
 * fonts, so that every reader of Markdown shows it.
 */
import { number, type Report, type ReportRow } from "./report.ts";

const panel = { width: 300, height: 190, left: 52, right: 12, top: 40, bottom: 28 };
const columns = 3;

type Point = ReportRow & { curve: NonNullable<ReportRow["curve"]> };

/** The chart of a benchmark's curves; null if it has none. */
export function growthChart({ bench, rows }: Report): string | null {
  const curves = new Map<string, Point[]>();
  for (const row of rows) {
    if (!row.curve) continue;
    const points = curves.get(row.curve.name) ?? [];
    points.push({ ...row, curve: row.curve });
    curves.set(row.curve.name, points);
  }
  if (curves.size === 0) return null;
  const panels = [...curves].map(([name, points], index) => {
    const x = index % columns * panel.width;
    const y = Math.floor(index / columns) * panel.height;
    return `<g transform="translate(${x} ${y})">${drawn(name, points)}</g>`;
  });
  const width = columns * panel.width;
  const height = Math.ceil(curves.size / columns) * panel.height;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}"` +
    ` height="${height}" font-family="system-ui, sans-serif" font-size="11">`,
    `<title>${escaped(bench)}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...panels,
    "</svg>",
    "",
  ].join("\n");
}

function drawn(name: string, unsorted: Point[]): string {
  const points = unsorted.toSorted((a, b) => a.curve.size - b.curve.size);
  const sizes = points.map(({ curve }) => Math.log10(curve.size));
  const [first = 0, last = 1] = [sizes[0], sizes.at(-1)];
  // From zero, so that a flat curve looks flat.
  const top = Math.max(...points.map(({ ours }) => ours.most)) * 1.1 || 1;
  const across = panel.width - panel.left - panel.right;
  const down = panel.height - panel.top - panel.bottom;
  const x = (size: number) =>
    round(panel.left + (last === first ? 0.5 : (size - first) / (last - first)) * across);
  const y = (value: number) => round(panel.top + (1 - value / top) * down);
  const [left, right, bottom] = [panel.left, panel.width - panel.right, panel.top + down];
  const line = points.map(({ ours }, i) => `${x(sizes[i]!)},${y(ours.median)}`).join(" ");
  return [
    text(left, 18, name, `font-weight="600"`),
    text(left, 32, points[0]?.unit ?? "", `fill="#666"`),
    ...[0, top / 2, top].map((value) =>
      `<path d="M${left} ${y(value)}H${right}" stroke="#ddd"/>` +
      text(left - 5, y(value) + 4, number(Number(value.toPrecision(2))), `text-anchor="end"`)
    ),
    ...points.map(({ curve, ours }, i) => {
      const at = x(sizes[i]!);
      return text(at, bottom + 16, short(curve.size), `text-anchor="middle"`) +
        `<path d="M${at} ${y(ours.least)}V${y(ours.most)}" stroke="#1f6feb" stroke-width="1.5"/>` +
        `<circle cx="${at}" cy="${y(ours.median)}" r="3" fill="#1f6feb"/>`;
    }),
    `<polyline points="${line}" fill="none" stroke="#1f6feb" stroke-width="1.5"/>`,
  ].join("");
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escaped(content)}</text>`;
}

function short(size: number): string {
  return size >= 1e6 ? `${size / 1e6}M` : size >= 1e3 ? `${size / 1e3}k` : `${size}`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
