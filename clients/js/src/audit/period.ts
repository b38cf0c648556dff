import type { AuditSeal } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import type { Period } from "../period.ts";
import { millisecondsTo2000 } from "./entry.ts";
import type { Unproved } from "./verdict.ts";

/** When the first and the last of the proved seals of an export were made. */
export interface SealTimes {
  first: string;
  last: string;
}

/** The times of proved seals, which are signed with them. Nothing between them is missing. */
export class ProvedTimes {
  #first: number | null = null;
  #last = 0;

  add({ sealed_at_us }: AuditSeal): void {
    const time = sealed_at_us / 1000 + millisecondsTo2000;
    this.#first ??= time;
    this.#last = time;
  }

  get shown(): SealTimes | null {
    if (this.#first === null) return null;
    return {
      first: new Date(this.#first).toISOString(),
      last: new Date(this.#last).toISOString(),
    };
  }

  /**
   * Compares a period with the seals: it is whole from one that was made before it, or from the
   * beginning of the log, to one that was made after it, or to the end of the log as exported.
   */
  compare(
    { since, until }: Period,
    { isFromStart, isToEnd, exportedAt }: {
      isFromStart: boolean;
      isToEnd: boolean;
      exportedAt: string;
    },
  ): Unproved[] {
    const unproved: Unproved[] = [];
    const beginsBefore = since !== undefined && this.#first !== null &&
      this.#first < Date.parse(since);
    if (!isFromStart && !beginsBefore) {
      const time = since ?? "the beginning of the log";
      unproved.push({
        code: "BEGINS_LATER",
        message: `nothing proves that it has all that was sealed from ${time} on`,
      });
    }
    const endsAfter = until !== undefined && this.#first !== null &&
      this.#last >= Date.parse(until);
    const wasOver = until === undefined || Date.parse(exportedAt) >= Date.parse(until);
    if (!endsAfter && !(isToEnd && wasOver)) {
      const time = until ?? "the end of the log";
      unproved.push({
        code: "ENDS_EARLY",
        message: `nothing proves that it has all that was sealed up to ${time}`,
      });
    }
    return unproved;
  }
}
