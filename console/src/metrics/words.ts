const amount = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
export const count = new Intl.NumberFormat();

/** Milliseconds, from a second on as seconds. */
export const inMilliseconds = (value: number) =>
  value < 1000 ? `${amount.format(value)} ms` : `${amount.format(value / 1000)} s`;
export const asShare = (value: number) => percent.format(value);

const named: Record<string, string> = { percent: " %", seconds: " s", bytes: " B" };

/** A value with the unit of its metric. */
export function withUnit(value: number, unit: string | undefined): string {
  if (unit === "milliseconds" || unit === "ms") return inMilliseconds(value);
  return amount.format(value) + (named[unit ?? ""] ?? "");
}
