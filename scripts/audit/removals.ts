import { uuidBytes } from "../../supabase/functions/_shared/audit/bytes.ts";
import { concat, toBase64 } from "../../supabase/functions/_shared/audit/encoding.ts";
import type { Block } from "./block.ts";
import { sha256 } from "./hashes.ts";

/** A removal of payloads that its record does not account for. */
export interface UnrecordedRemoval {
  record: string;
  entries: number;
  /** The first entry that names the record. */
  entry: string;
  /** What the record says; null where there is none. */
  stated: number | null;
}

/** Compares the payloads that are gone with the records that say why. */
export class Removals {
  readonly #removed = new Map<string, string[]>();
  readonly #records = new Map<string, { entries: number; digest: string }>();
  #count = 0;

  /** How many payloads are gone. */
  get count(): number {
    return this.#count;
  }

  add({ removed, removals }: Block): void {
    for (const { record, id } of removed) {
      const ids = this.#removed.get(record);
      if (ids) ids.push(id);
      else this.#removed.set(record, [id]);
    }
    this.#count += removed.length;
    for (const { id, entries, digest } of removals) this.#records.set(id, { entries, digest });
  }

  /** The removals without a record, and those whose record names other entries. */
  unrecorded(): UnrecordedRemoval[] {
    return [...this.#removed].flatMap(([record, ids]): UnrecordedRemoval[] => {
      const said = this.#records.get(record);
      if (said && said.entries === ids.length && said.digest === digest(ids)) return [];
      return [{ record, entries: ids.length, entry: ids[0] ?? "", stated: said?.entries ?? null }];
    });
  }
}

/** SHA-256 over the ids in rising order, as the record has it. */
function digest(ids: string[]): string {
  return toBase64(sha256(concat(...ids.toSorted().map((id) => uuidBytes(id, "id")))));
}
