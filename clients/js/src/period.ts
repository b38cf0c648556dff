/** A period of a log by the time of its seals: from a time on, and before another. RFC 3339. */
export interface Period {
  /** Undefined: from the beginning of the log. */
  since?: string | undefined;
  /** Undefined: to its end. */
  until?: string | undefined;
}
