import { csvRecord } from "./csv.ts";
import { ocsfEvent } from "./ocsf.ts";
import type { AuditEntry, AuditGroup, AuditPayload, GroupProof } from "./records.ts";

/** Header of an export. */
export interface ExportHeader {
  organization_id: string | null;
  /** The cursor that the export continues from; null: the beginning. */
  after: string | null;
  exported_at: string;
  /** The seal through which entries of the organization were pruned; null: none were. */
  pruned: number | null;
  /** The organization's group before the first exported one; null if that is its first. */
  previous: AuditGroup | null;
}

/** End of an export. */
export interface ExportEnd {
  entries: number;
  /** The cursor for the next request; null: nothing more is sealed at present. */
  next: string | null;
  /** The cursor for a follower, once more is sealed. */
  cursor: string | null;
}

/** The entries of a seal, from the first exported one. */
export type ExportedGroup = AuditGroup & {
  /** Number of the group's entries before the first exported one. */
  first: number;
  /** The nodes of the group's tree that cover those entries. */
  before: string[];
};

/** Writes an export piece by piece. */
export interface ExportFormat {
  contentType: string;
  extension: string;
  begin(header: ExportHeader): string;
  /** Written before the entries of a seal. */
  group(group: ExportedGroup): string;
  /** `cursor` continues an export after this entry. */
  entry(entry: AuditEntry, cursor: string, isFirst: boolean): string;
  /** Written after each page: proves the entries above it. */
  proof(proof: GroupProof): string;
  end(end: ExportEnd): string;
  /** Whether the end is written, with the cursor that continues. */
  readonly hasEnd: boolean;
  /** The parts that make an export verifiable; null in formats that are not. */
  readonly proved: {
    /** The nodes after the last entry, if the export ends within a seal. */
    rest(nodes: string[]): string;
    /** The last line: the signed statement about everything before; null without a signing key. */
    statement(note: string | null): string;
  } | null;
}

const line = (value: unknown) => `${JSON.stringify(value)}\n`;
const nothing = () => "";

/** The bundle for `npm run verify-audit`. */
const ndjson: ExportFormat = {
  contentType: "application/x-ndjson",
  extension: "ndjson",
  begin: (header) => line({ type: "bundle", version: 1, ...header }),
  group: (group) => line({ type: "group", ...group }),
  entry: (entry) => line({ type: "entry", ...entry }),
  proof: (proof) => line({ type: "proof", ...proof }),
  end: (end) => line({ type: "end", ...end }),
  hasEnd: true,
  proved: {
    rest: (nodes) => line({ type: "rest", nodes }),
    statement: (note) => line({ type: "statement", note }),
  },
};

/** One document; payloads are included as the exact text that was sealed. */
const json: ExportFormat = {
  contentType: "application/json",
  extension: "json",
  begin: (header) => `${JSON.stringify(header).slice(0, -1)},"log":[`,
  group: nothing,
  entry: ({ payload, salt: _salt, leaf: _leaf, ...skeleton }, cursor, isFirst) =>
    `${isFirst ? "" : ","}\n${JSON.stringify({ ...skeleton, cursor }).slice(0, -1)}` +
    `${payload === undefined ? "" : `,"payload":${payload}`}}`,
  proof: nothing,
  end: (end) => `\n],${JSON.stringify(end).slice(1)}\n`,
  hasEnd: true,
  proved: null,
};

const columns = [
  "id",
  "occurred_at",
  "organization_id",
  "event_type",
  "severity",
  "result",
  "source",
  "resource_type",
  "resource_id",
  "action",
  "actor_type",
  "actor_id",
  "database_user",
  "session_id",
  "ip",
  "user_agent",
  "correlation_id",
  "parent_id",
  "removed_by",
  "payload",
  "cursor",
] as const;

/** For spreadsheets, not for verification. */
const csv: ExportFormat = {
  contentType: "text/csv; charset=utf-8; header=present",
  extension: "csv",
  begin: () => csvRecord(columns),
  group: nothing,
  entry(entry, cursor) {
    const payload: AuditPayload = entry.payload === undefined ? {} : JSON.parse(entry.payload);
    const cells = { ...payload, ...entry, cursor } as Record<string, unknown>;
    return csvRecord(columns.map((column) => cells[column] as string | null | undefined));
  },
  proof: nothing,
  end: nothing,
  hasEnd: false,
  proved: null,
};

/** One OCSF event a line. */
const ocsf: ExportFormat = {
  contentType: "application/x-ndjson",
  extension: "ocsf.ndjson",
  begin: nothing,
  group: nothing,
  entry: (entry, cursor) => line(ocsfEvent(entry, cursor)),
  proof: nothing,
  end: nothing,
  hasEnd: false,
  proved: null,
};

const formats = { ndjson, csv, json, ocsf };

/** The names of the formats. */
export const exportFormats = ["ndjson", "csv", "json", "ocsf"] as const;

export type ExportFormatName = typeof exportFormats[number];

/** A format by its name. */
export function exportFormat(name: ExportFormatName): ExportFormat {
  return formats[name];
}
