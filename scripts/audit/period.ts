import { wrongUsage } from "../stack/arguments.ts";

/** A period of the log by the time of its seals. */
export interface Times {
  since?: string;
  until?: string;
}

/** How the option is written, for messages. */
export const periodForm = "--period <from>/<to>";

/** The option as a period. @throws Failure if it is none */
export function periodOption(text: string | undefined, usage: string): Times | null {
  if (text === undefined) return null;
  const period = readPeriod(text);
  if (period) return period;
  throw wrongUsage("--period needs two times, such as 2026-10-01/2026-11-01", usage);
}

/** A date, or a time with its zone (RFC 3339). */
const moment = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/;

/**
 * Reads a period as ISO 8601 writes it, from a time on and before another: `2026-10-01/2026-11-01`.
 * A date begins at midnight UTC. One side may be empty: the log's own beginning or end. Null: it is none.
 */
export function readPeriod(text: string): Times | null {
  const sides = text.split("/");
  const [from = "", to = ""] = sides;
  if (sides.length !== 2 || from === "" && to === "") return null;
  if (![from, to].every((side) => side === "" || moment.test(side) && isTime(side))) return null;
  if (from !== "" && to !== "" && Date.parse(from) >= Date.parse(to)) return null;
  const time = (side: string) => new Date(side).toISOString();
  return {
    ...(from === "" ? {} : { since: time(from) }),
    ...(to === "" ? {} : { until: time(to) }),
  };
}

/** No 30 February, which would be read as 2 March. */
function isTime(text: string): boolean {
  const day = text.slice(0, 10);
  const read = Date.parse(day);
  return !Number.isNaN(Date.parse(text)) && !Number.isNaN(read) &&
    new Date(read).toISOString().slice(0, 10) === day;
}
