/** A period of a log by the time of its seals: from a time on, and before another. RFC 3339. */
export interface Period {
  /** Undefined: from the beginning of the log. */
  since?: string | undefined;
  /** Undefined: to its end. */
  until?: string | undefined;
}

/** The part of a log that proves a period, as `audit_period` gives it. */
export interface Span {
  after: string | null;
  /** Null: the end of the log. */
  through: string | null;
  /** How many lie between them. */
  entries: number;
}

/**
 * The entries of the next request. Those before and after the period come alone, because each
 * request proves its last entry.
 */
export function sizeOf({ after, through, entries }: Span, soFar: number, most: number): number {
  if (after !== null && soFar === 0) return 1;
  return through === null ? most : Math.min(most, Math.max(1, entries - soFar - 1));
}

/** Whether a cursor is at the end of a period, or beyond it. */
export function hasReached(cursor: string | null, span: Span | null): boolean {
  if (!cursor || !span?.through) return false;
  const [seal = 0, place = 0] = cursor.split(":").map(Number);
  const [lastSeal = 0, lastPlace = 0] = span.through.split(":").map(Number);
  return seal > lastSeal || seal === lastSeal && place >= lastPlace;
}
