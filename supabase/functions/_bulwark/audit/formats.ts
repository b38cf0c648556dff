import { BulwarkError } from "../foundation/errors.ts";
import { csvRecord } from "./csv.ts";
import { ocsfEvent } from "./ocsf.ts";
import type { AuditEntry, AuditGroup, AuditPayload, GroupProof } from "./records.ts";

/** What an export begins with. */
export interface ExportHeader {
  organization_id: string | null;
  /** The cursor it goes on from; null: the beginning. */
  after: string | null;
  exported_at: string;
  /** The seal through which entries of the organization were pruned; null: none were. */
  pruned: number | null;
  /** The organization's group before the first that is exported; null: that is its first. */
  previous: AuditGroup | null;
}

/** What an export ends with. */
export interface ExportEnd {
  entries: number;
  /** Where the next request goes on; null: nothing more is sealed at the moment. */
  next: string | null;
  /** Where a follower goes on once more is sealed. */
  cursor: string | null;
}

/** The entries of a seal, from the first that is exported. */
export type ExportedGroup = AuditGroup & {
  /** How many entries of the group come before. */
  first: number;
  /** The nodes of the group's tree that cover those. */
  before: string[];
};

/** How an export is written, piece by piece. */
export interface ExportFormat {
  contentType: string;
  extension: string;
  begin(header: ExportHeader): string;
  /** Before the entries of a seal. */
  group(group: ExportedGroup): string;
  /** `cursor` is where an export goes on after this entry. */
  entry(entry: AuditEntry, cursor: string, isFirst: boolean): string;
  /** After each page: what is above it was in the log when its seal was made. */
  proof(proof: GroupProof): string;
  end(end: ExportEnd): string;
  /** What makes the export verifiable; null where it is not meant to be. */
  readonly proved: {
    /** The nodes after the last entry, where the export ends within a seal. */
    rest(nodes: string[]): string;
    /** The last line: the signed statement about all before it; null where no key signs. */
    statement(note: string | null): string;
  } | null;
}

const line = (value: unknown) => `${JSON.stringify(value)}\n`;
const nothing = () => "";

/** The bundle that `npm run verify-audit` verifies. */
const ndjson: ExportFormat = {
  contentType: "application/x-ndjson",
  extension: "ndjson",
  begin: (header) => line({ type: "bundle", version: 1, ...header }),
  group: (group) => line({ type: "group", ...group }),
  entry: (entry) => line({ type: "entry", ...entry }),
  proof: (proof) => line({ type: "proof", ...proof }),
  end: (end) => line({ type: "end", ...end }),
  proved: {
    rest: (nodes) => line({ type: "rest", nodes }),
    statement: (note) => line({ type: "statement", note }),
  },
};

/** One document; payloads stand in it as the exact text that was sealed. */
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

/** For spreadsheets. Not for verification. */
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
  proved: null,
};

const formats: Record<string, ExportFormat> = { ndjson, csv, json, ocsf };

/**
 * A format by its name.
 * @throws BulwarkError 400 AUDIT_UNKNOWN_FORMAT
 */
export function exportFormat(name: string): ExportFormat {
  const format = Object.hasOwn(formats, name) ? formats[name] : undefined;
  if (format) return format;
  throw new BulwarkError(
    400,
    "AUDIT_UNKNOWN_FORMAT",
    `Cannot export the audit log: the formats are ${Object.keys(formats).join(", ")}`,
  );
}
