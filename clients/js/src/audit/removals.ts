import { uuidBytes } from "../../../../supabase/functions/_bulwark/audit/bytes.ts";
import { concat, toBase64 } from "../../../../supabase/functions/_bulwark/foundation/bytes.ts";
import type { AuditEntry } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import type { Block } from "./block.ts";
import { sha256 } from "./hashes.ts";

/** Removed payloads that their record does not account for. */
export interface UnrecordedRemoval {
  record: string;
  entries: number;
  /** The first entry that names the record. */
  entry: string;
  /** The statement of the record; null if there is none. */
  stated: Pick<StatedRemoval, "entries" | "at"> | null;
}

/** Compares the removed payloads with the records of their removal. */
export class Removals {
  readonly #removed = new Map<string, string[]>();
  readonly #records = new Map<string, StatedRemoval>();
  #count = 0;

  /** Number of removed payloads. */
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
    for (const removal of removals) this.#records.set(removal.id, removal);
  }

  /** The removals without a record, and those whose record names other entries. */
  unrecorded(): UnrecordedRemoval[] {
    return [...this.#removed].flatMap(([record, ids]): UnrecordedRemoval[] => {
      const said = this.#records.get(record);
      if (said && said.entries === ids.length && said.digest === digest(ids)) return [];
      return [{ record, entries: ids.length, entry: ids[0] ?? "", stated: said ?? null }];
    });
  }
}

/** A removal that a record states. */
export interface StatedRemoval {
  id: string;
  entries: number;
  digest: string;
  /** The record's own time, in microseconds since 2000. */
  at: number;
}

/**
 * The removals that an entry of type compliance.data_deleted states. The tombstone of a pruning
 * restates earlier removals whose entries were pruned in part.
 */
export function statedRemovals(entry: AuditEntry): StatedRemoval[] {
  const { id, source, payload, occurred_at_us: at } = entry;
  if (payload === undefined || source !== "system") return [];
  const said: unknown = JSON.parse(payload);
  // The log's own records have no duplicate keys, so a record with one is ignored.
  if (!isObject(said) || keysIn(said) !== keysWritten(payload)) return [];
  const { action, details } = said;
  if (!isObject(details)) return [];
  const restated =
    action === "pruning" && details["kind"] === "pruning" && isObject(details["removals"])
      ? Object.entries(details["removals"])
      : [];
  return [[id, details] as const, ...restated].flatMap(([record, removal]) => {
    if (!isObject(removal)) return [];
    const { entries, digest } = removal;
    if (!Number.isSafeInteger(entries) || typeof digest !== "string") return [];
    return [{ id: record, entries: entries as number, digest, at }];
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Number of keys in a parsed value, at all levels. */
function keysIn(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce((sum: number, each) => sum + keysIn(each), own);
}

/** Number of keys in JSON text, duplicates included. */
function keysWritten(text: string): number {
  const strings = [...text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g)];
  return strings.reduce((sum, [, colon]) => sum + (colon ? 1 : 0), 0);
}

/** SHA-256 over the ids in rising order, as in the record. */
function digest(ids: string[]): string {
  return toBase64(sha256(concat(...ids.toSorted().map((id) => uuidBytes(id, "id")))));
}
