import type { AuditSeal } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import { MalformedError } from "../../../../supabase/functions/_bulwark/audit/encoding.ts";
import type { Times } from "./block.ts";
import type { Find } from "./verdict.ts";

/** The time of a proved seal, and the transactions that started after it. */
interface Anchor {
  seal: number;
  timeline: number;
  sealedAt: number;
  /** Every transaction from this one on started after the seal's snapshot. */
  firstLater: number;
}

/** Tolerated clock error in microseconds; `audit.clock_tolerance_seconds` in SQL. */
export const clockTolerance = 300 * 1_000_000;

/**
 * Compares the times of entries with those of the proved seals, one for each page of an export. An
 * entry can be back-dated, but not the seals around it, whose signed heads others keep.
 */
export class Clock {
  #anchor: Anchor | null = null;
  /** The latest time since the last proved seal, and the entry's id. */
  #latest = -Infinity;
  readonly #latestId = new Uint8Array(16);
  readonly #find: Find;

  constructor(find: Find) {
    this.#find = find;
  }

  /** Reads the entries from one position to another of a block, in order. */
  take({ occurredAt, timelines, transactions, ids }: Times, from: number, to: number): void {
    const anchor = this.#anchor;
    let latest = -1;
    for (let index = from; index < to; index++) {
      const time = occurredAt[index]!;
      if (time > this.#latest) {
        this.#latest = time;
        latest = index;
      }
      if (!anchor || time >= anchor.sealedAt - clockTolerance) continue;
      const isLater = timelines[index]! > anchor.timeline ||
        timelines[index] === anchor.timeline && transactions[index]! >= anchor.firstLater;
      if (isLater) {
        const why = `it says a time before seal ${anchor.seal}, which was made before it`;
        const entry = idOf(ids, 16 * index);
        this.#find("ENTRY_BACKDATED", `entry ${entry}: ${why}`, { entry, seal: anchor.seal });
      }
    }
    if (latest >= 0) this.#latestId.set(ids.subarray(16 * latest, 16 * latest + 16));
  }

  /** Adds the seal of a valid proof. If it is that of the last group, no entry so far is younger. */
  prove(seal: AuditSeal, isLast: boolean): void {
    if (isLast && this.#latest > seal.sealed_at_us + clockTolerance) {
      const why = `it says a time after seal ${seal.number}, which holds it`;
      const entry = idOf(this.#latestId, 0);
      this.#find("ENTRY_BACKDATED", `entry ${entry}: ${why}`, { entry, seal: seal.number });
    }
    const firstLater = /^\d+:(\d+):/.exec(seal.snapshot)?.[1];
    if (!firstLater) throw new MalformedError("snapshot has no valid form");
    if (isLast) this.#latest = -Infinity;
    this.#anchor = {
      seal: seal.number,
      timeline: seal.timeline,
      sealedAt: seal.sealed_at_us,
      firstLater: Number(firstLater),
    };
  }
}

/** The text of the UUID at an offset. */
export function idOf(bytes: Uint8Array, at: number): string {
  const hex = Array.from(
    bytes.subarray(at, at + 16),
    (byte) => byte.toString(16).padStart(2, "0"),
  ).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}
