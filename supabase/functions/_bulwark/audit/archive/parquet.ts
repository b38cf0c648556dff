/**
 * Entries as Parquet: a column for each of the log's, for engines that query years of it. Values of
 * `before`, `after` and `details` are JSON text. It is a copy for reading: the bundle is the evidence.
 * @see https://parquet.apache.org/docs/file-format/
 */
import { parquetWriteBuffer, type SchemaElement } from "hyparquet-writer";
import type { AuditEntry, AuditPayload } from "../records.ts";

/** Microseconds from 1970 to 2000, the epoch of Postgres. */
const epoch = 946_684_800_000_000n;

type Json = "before" | "after" | "details";
type Row = AuditEntry & Omit<AuditPayload, Json> & { [Column in Json]?: string } & { seal: number };

const text = (name: keyof Row, required = false) => ({
  schema: {
    name,
    type: "BYTE_ARRAY",
    converted_type: "UTF8",
    logical_type: { type: "STRING" },
    repetition_type: required ? "REQUIRED" : "OPTIONAL",
  } as SchemaElement,
  value: (row: Row): unknown => row[name] ?? null,
});

const columns = [
  text("id", true),
  {
    schema: {
      name: "occurred_at",
      type: "INT64",
      converted_type: "TIMESTAMP_MICROS",
      logical_type: { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MICROS" },
      repetition_type: "REQUIRED",
    } as SchemaElement,
    value: (row: Row): unknown => BigInt(row.occurred_at_us) + epoch,
  },
  text("organization_id"),
  text("event_type", true),
  text("severity", true),
  text("result", true),
  text("source", true),
  text("resource_type"),
  text("resource_id"),
  text("action"),
  text("actor_type"),
  text("actor_id"),
  text("database_user"),
  text("session_id"),
  text("ip"),
  text("user_agent"),
  text("correlation_id"),
  text("parent_id"),
  text("before"),
  text("after"),
  text("details"),
  text("removed_by"),
  text("xid", true),
  {
    schema: { name: "seal", type: "INT64", repetition_type: "REQUIRED" } as SchemaElement,
    value: (row: Row): unknown => BigInt(row.seal),
  },
];

/** Writes entries, each with the number of its seal, as a Parquet file (Snappy). */
export function writeParquet(entries: { entry: AuditEntry; seal: number }[]): Uint8Array {
  const rows = entries.map(({ entry, seal }): Row => {
    if (entry.payload === undefined) return { ...entry, seal };
    const payload: Omit<AuditPayload, Json> = JSON.parse(entry.payload);
    return { ...payload, ...nestedTexts(entry.payload), ...entry, seal };
  });
  return new Uint8Array(parquetWriteBuffer({
    columnData: columns.map(({ schema, value }) => ({ name: schema.name, data: rows.map(value) })),
    schema: [
      { name: "root", num_children: columns.length },
      ...columns.map(({ schema }) => schema),
    ],
    createdBy: "bulwark",
    rowGroupSize: 20_000,
  }));
}

/**
 * The text of each member of a JSON object that is an object or an array itself. Parsed and written
 * again, large numbers would change.
 */
function nestedTexts(object: string): Record<string, string> {
  const found: Record<string, string> = {};
  let depth = 0;
  let start = 0;
  let name = "";
  // Strings, with the colon after a name, and brackets; nothing else matters.
  for (const { 0: token, 1: text, 2: colon, index } of object.matchAll(tokens)) {
    if (text !== undefined) {
      if (depth === 1 && colon) name = text;
    } else if (token === "{" || token === "[") {
      if (++depth === 2) start = index;
    } else if (--depth === 1) {
      found[name] = object.slice(start, index + 1);
    }
  }
  return found;
}

const tokens = /"((?:[^"\\]|\\.)*)"(:)?|[{}[\]]/g;
