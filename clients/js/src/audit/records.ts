/** The lines of a bundle other than entries: each has exactly these fields, of these types. */
import {
  fromBase64,
  MalformedError,
} from "../../../../supabase/functions/_bulwark/audit/encoding.ts";
import type {
  AuditGroup,
  AuditSeal,
  ConsistencyProof,
  GroupProof,
} from "../../../../supabase/functions/_bulwark/audit/records.ts";
import { uuidBytes } from "../../../../supabase/functions/_bulwark/audit/bytes.ts";

/** The first line of a bundle. */
export interface HeaderLine {
  version: 1;
  organization_id: string | null;
  after: string | null;
  exported_at: string;
  pruned: number | null;
  previous: AuditGroup | null;
}

/** The line before the entries of a seal: the entries before `first` are given as nodes. */
export type GroupLine = AuditGroup & { first: number; before: string[] };

/** The nodes after the last entry of a bundle that ends within a seal. */
export interface RestLine {
  nodes: string[];
}

/** The end of a bundle. */
export interface EndLine {
  entries: number;
  next: string | null;
  cursor: string | null;
}

/** The last line: the signed statement about everything before it. */
export interface StatementLine {
  note: string | null;
}

type Check = (value: unknown, field: string) => void;
type Checks<Line> = { [Field in keyof Line]-?: Check };

const orNull = (check: Check): Check => (value, field) => {
  if (value !== null) check(value, field);
};
const demand = (holds: (value: unknown) => boolean, what: string): Check => (value, field) => {
  if (!holds(value)) throw new MalformedError(`${field} is not ${what}`);
};
const count = demand((value) => Number.isSafeInteger(value) && (value as number) >= 0, "a count");
const positive = demand(
  (value) => Number.isSafeInteger(value) && (value as number) > 0,
  "positive",
);
const integer = demand(Number.isSafeInteger, "an integer");
const text = demand((value) => typeof value === "string", "text");
const time = demand((value) => typeof value === "string" && isTime(value), "a time");
const hash: Check = (value, field) => void fromBase64(value, field, 32);
const hashes: Check = (value, field) => {
  if (!Array.isArray(value)) throw new MalformedError(`${field} is not a list`);
  for (const each of value) hash(each, field);
};
const uuid: Check = (value, field) => void uuidBytes(value as string, field);
const cursor = demand(
  (value) => typeof value === "string" && /^\d{1,15}:\d{1,15}$/.test(value),
  "a cursor",
);
const nested = <Line>(checks: Checks<Line>): Check => (value, field) => {
  if (typeof value !== "object" || value === null) {
    throw new MalformedError(`${field} is not an object`);
  }
  exact(value as Record<string, unknown>, checks);
};

const group: Checks<AuditGroup> = {
  organization_id: orNull(uuid),
  seal: positive,
  entry_count: positive,
  entries_before: count,
  previous: hash,
  root: hash,
};
const seal: Checks<AuditSeal> = {
  number: positive,
  previous_hash: hash,
  root: hash,
  timeline: integer,
  sealed_at: text,
  sealed_at_us: integer,
  snapshot: text,
  through: orNull(hash),
  hash,
};

/** @throws MalformedError naming the field, as all of these */
export const readHeader = reader<HeaderLine>({
  version: demand((value) => value === 1, "1"),
  organization_id: orNull(uuid),
  after: orNull(cursor),
  exported_at: time,
  pruned: orNull(positive),
  previous: orNull(nested(group)),
});
export const readGroup = reader<GroupLine>({ ...group, first: count, before: hashes });
export const readRest = reader<RestLine>({ nodes: hashes });
export const readProof = reader<GroupProof>({
  group: nested(group),
  group_index: count,
  group_count: count,
  group_path: hashes,
  seal: nested(seal),
  tree_index: count,
  tree_size: count,
  tree_path: hashes,
  tree_root: hash,
  checkpoint: orNull(text),
});
export const readEnd = reader<EndLine>({
  entries: count,
  next: orNull(cursor),
  cursor: orNull(cursor),
});
export const readStatement = reader<StatementLine>({ note: orNull(text) });

const consistency: Checks<ConsistencyProof> = {
  from_size: count,
  to_size: count,
  from_root: hash,
  to_root: hash,
  path: hashes,
};

/** A consistency proof as the function `bulwark-audit` returns it. */
export function readConsistency(value: unknown): ConsistencyProof {
  nested(consistency)(value, "the proof");
  return value as ConsistencyProof;
}

/** Reads a line with exactly these fields after its type. */
function reader<Line>(checks: Checks<Line>): (record: Record<string, unknown>) => Line {
  return (record) => {
    const [type] = Object.keys(record);
    if (type !== "type") throw new MalformedError("it does not begin with its type");
    const { type: _type, ...fields } = record;
    exact(fields, checks);
    return fields as Line;
  };
}

function exact<Line>(record: Record<string, unknown>, checks: Checks<Line>): void {
  for (const field of Object.keys(record)) {
    // Its name is not shown: it could contain terminal control sequences.
    if (!Object.hasOwn(checks, field)) {
      throw new MalformedError("it has a field it should not have");
    }
  }
  for (const [field, check] of Object.entries<Check>(checks)) {
    if (!Object.hasOwn(record, field)) throw new MalformedError(`${field} is missing`);
    check(record[field], field);
  }
}

function isTime(value: string): boolean {
  const date = new Date(value);
  return !Number.isNaN(date.getTime()) && date.toISOString() === value;
}
