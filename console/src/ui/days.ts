/** A period of whole days in the reader's time, such as 2026-10-31; both ends belong to it. */
export interface Days {
  since?: string;
  until?: string;
}

const form = /^(\d{4})-(\d{2})-(\d{2})$/;

/** The day of a moment. */
export function dayOf(moment: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
}

/** The beginning of a day, or of one some days later. */
export function midnight(day: string, later = 0): Date {
  const [, year, month, date] = form.exec(day) ?? [];
  return new Date(Number(year), Number(month) - 1, Number(date) + later);
}

/** Reads days from an address; ignores other values. */
export function readDays(given: { since?: unknown; until?: unknown }): Days {
  const read = (value: unknown) =>
    typeof value === "string" && form.test(value) && dayOf(midnight(value)) === value
      ? value
      : undefined;
  const [since, until] = [read(given.since), read(given.until)];
  return {
    ...since ? { since } : {},
    ...until && !(since && until < since) ? { until } : {},
  };
}
