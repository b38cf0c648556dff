/** Field access for frontends, authorized and recorded as the caller before it happens. */
import { type CallerClient, requirePerson } from "../foundation/caller.ts";
import { BulwarkError } from "../foundation/errors.ts";
import { blindIndex, blindIndexes, normalize } from "./blind_index.ts";
import type { DataKeys } from "./data_keys.ts";
import { id } from "../foundation/input.ts";
import { EncryptionError, isAboutTheRow } from "./errors.ts";
import { decryptField, encryptField } from "./fields.ts";
import type { DecryptInput, EncryptInput, FindInput } from "./operations.ts";
import {
  type DeclaredColumn,
  type Place,
  readRowsByIndex,
  readRowsByKey,
  type Row,
} from "./rows.ts";
import { unwrap } from "./store.ts";

/** The caller, and the dependencies. */
export interface Access {
  /** A client with the caller's rights, under row-level security. */
  caller: CallerClient;
  service: CallerClient;
  keys: DataKeys;
  /** The client's error for an unreadable value; the log has the exact fault. */
  refusal(thrown: EncryptionError): BulwarkError;
}

/** The columns of a row to write: ciphertext and blind indexes. */
export interface EncryptedRow {
  primary_key: string;
  fields: Record<string, string | null>;
}

/**
 * Encrypts fields for rows that the caller writes under the table's own policies. The values are
 * bound to the organization and the primary key given here and useless in any other row, so the row
 * need not exist yet.
 * @throws BulwarkError RBAC_PERMISSION_DENIED, ENCRYPTION_UNKNOWN_COLUMN; EncryptionError
 */
export async function encryptRows(
  { caller, service, keys }: Access,
  { table, organization_id, rows: asked }: EncryptInput,
): Promise<{ rows: EncryptedRow[] }> {
  const names = [...new Set(asked.flatMap(({ fields }) => Object.keys(fields)))];
  await authorize(
    caller,
    "encrypt",
    table,
    names,
    asked.map((row) => row.primary_key),
    organization_id,
  );
  const columns = await declared(service, table, names);
  requireOwner(columns, organization_id);
  const type = columns[0]!.primary_key_type;
  const rows = asked.map(({ primary_key, fields }) => ({
    primary_key: canonicalKey(type, primary_key),
    fields,
  }));
  await forgetDestroyed(service, keys, organization_id);
  const encrypted = await Promise.all(rows.map(async ({ primary_key, fields }) => {
    const written: Record<string, string | null> = {};
    await Promise.all(columns.map(async (column) => {
      const text = fields[column.column_name];
      if (text === undefined) return;
      const address = addressOf(column, primary_key, organization_id);
      written[column.column_name] = text === null ? null : await encryptField(keys, address, text);
      if (column.index_column) {
        written[column.index_column] = text === null
          ? null
          : await blindIndex(keys, address, text, column.normalization);
      }
    }));
    return { primary_key, fields: written };
  }));
  return { rows: encrypted };
}

/** The texts of a row, or why they cannot be read. */
export type DecryptedRow =
  | { primary_key: string; fields: Record<string, string | null> }
  | { primary_key: string; error: { code: string; message: string } };

/**
 * Decrypts fields of rows that the caller can read. Reads the ciphertext as the caller, never from
 * the request, so that a caller without access to the row gets no value. Invisible rows are left
 * out like rows that do not exist. A row that cannot be decrypted has an `error` and does not
 * affect the others.
 * @throws BulwarkError RBAC_PERMISSION_DENIED, ENCRYPTION_UNKNOWN_COLUMN,
 * ENCRYPTION_TABLE_NOT_EXPOSED; EncryptionError if the keys cannot be used
 */
export async function decryptRows(
  { caller, service, keys, refusal }: Access,
  { table, columns: names, primary_keys }: DecryptInput,
): Promise<{ rows: DecryptedRow[] }> {
  const columns = await declared(service, table, names);
  const found = await readRowsByKey({ caller, service }, columns, primary_keys);
  if (found.length === 0) await requirePerson(caller);
  for (const [organization, rows] of groupByOrganization(found)) {
    const shown = rows.map((row) => row.primaryKey);
    await authorize(caller, "decrypt", table, names, shown, organization);
    await forgetDestroyed(service, keys, organization);
  }
  const rows = await Promise.all(found.map(async (row) => {
    const primary_key = row.primaryKey;
    const fields = await decryptRow(keys, columns, row).catch((thrown) => {
      if (thrown instanceof EncryptionError && isAboutTheRow(thrown)) return refusal(thrown);
      throw thrown;
    });
    return fields instanceof BulwarkError
      ? { primary_key, error: { code: fields.code, message: fields.message } }
      : { primary_key, fields };
  }));
  return { rows };
}

/** Maximum number of keys in one answer of {@link findRows}. */
const mostMatches = 100;
/** A search returns a cursor after this many milliseconds. */
const searchTime = 1000;

/**
 * The primary keys of the caller's rows that have a text in an indexed column, at most 100, and the
 * cursor for the next call; null at the end. Each row is decrypted and compared, so that forged
 * index values neither add nor hide rows.
 * @throws BulwarkError RBAC_PERMISSION_DENIED, ENCRYPTION_UNKNOWN_COLUMN,
 * ENCRYPTION_TABLE_NOT_EXPOSED; EncryptionError
 */
export async function findRows(
  { caller, service, keys }: Access,
  { table, organization_id, column: name, value, cursor }: FindInput,
): Promise<{ primary_keys: string[]; next: string | null }> {
  const deadline = performance.now() + searchTime;
  await authorize(caller, "find", table, [name], [], organization_id);
  const columns = await declared(service, table, [name]);
  requireOwner(columns, organization_id);
  const [column] = columns;
  if (!column?.index_column) throw unknownColumn();
  const after = cursor === null ? null : readCursor(column, cursor);
  await forgetDestroyed(service, keys, organization_id);
  const indexed = addressOf(column, "", organization_id);
  const indexes = await blindIndexes(keys, indexed, value, column.normalization);
  const wanted = normalize(value, column.normalization);
  const matches: string[] = [];
  const readers = { caller, service };
  const pages = readRowsByIndex(readers, columns, organization_id, indexes, after);
  for await (const { rows, cursor, isLast } of pages) {
    const texts = await Promise.all(rows.map(async (row) => {
      if (row.organizationId !== organization_id) return undefined;
      const fields = await decryptRow(keys, columns, row).catch(notAMatch);
      return fields[name];
    }));
    for (const [index, { primaryKey }] of rows.entries()) {
      const text = texts[index];
      if (typeof text !== "string" || normalize(text, column.normalization) !== wanted) continue;
      matches.push(primaryKey);
      const isEnd = isLast && index === rows.length - 1;
      if (matches.length === mostMatches && !isEnd) {
        return { primary_keys: matches, next: cursor(primaryKey) };
      }
    }
    if (isLast) break;
    const last = rows.at(-1);
    if (last && performance.now() > deadline) {
      return { primary_keys: matches, next: cursor(last.primaryKey) };
    }
  }
  return { primary_keys: matches, next: null };
}

/** Parses a cursor of {@link findRows}. @throws BulwarkError 400 INVALID_INPUT */
function readCursor(column: DeclaredColumn, cursor: string): Place {
  const [indexKey, key] = [cursor.slice(0, 22), cursor.slice(23)];
  return { indexKey, primaryKey: canonicalKey(column.primary_key_type, key) };
}

/** A row that cannot be decrypted does not fail the search. */
function notAMatch(thrown: unknown): Record<string, string | null> {
  if (thrown instanceof EncryptionError && isAboutTheRow(thrown)) return {};
  throw thrown;
}

async function decryptRow(
  keys: DataKeys,
  columns: DeclaredColumn[],
  { primaryKey, organizationId, values }: Row,
): Promise<Record<string, string | null>> {
  const fields = await Promise.all(columns.map(async (column) => {
    const ciphertext = values[column.column_name] ?? null;
    const address = addressOf(column, primaryKey, organizationId);
    const text = ciphertext === null ? null : await decryptField(keys, address, ciphertext);
    return [column.column_name, text] as const;
  }));
  return Object.fromEntries(fields);
}

async function declared(
  service: CallerClient,
  table: string,
  names: readonly string[],
): Promise<DeclaredColumn[]> {
  const all = unwrap(await service.rpc("list_encrypted_columns", { table_name: table }));
  const asked = all.filter(({ column_name }) => names.includes(column_name));
  if (asked.length === 0 || asked.length < new Set(names).size) throw unknownColumn();
  return asked as DeclaredColumn[];
}

/**
 * A primary key as printed by Postgres. Values are bound to this spelling and could not be
 * decrypted under another one.
 * @throws BulwarkError 400 INVALID_INPUT
 */
function canonicalKey(type: string, key: string): string {
  if (type === "uuid" && id.safeParse(key).success) return key.toLowerCase();
  const bits = integerBits[type];
  if (bits && /^(0|-?[1-9][0-9]{0,18})$/.test(key) && isWithin(BigInt(key), bits)) return key;
  if (type === "text" || type === "character varying") return key;
  throw new BulwarkError(
    400,
    "INVALID_INPUT",
    `Cannot read a primary key: it is no ${type} as Postgres writes it`,
  );
}

const integerBits: Record<string, number> = { smallint: 16, integer: 32, bigint: 64 };

function isWithin(value: bigint, bits: number): boolean {
  return BigInt.asIntN(bits, value) === value;
}

/** Columns without an organization use the system's key, and only those. */
function requireOwner(columns: DeclaredColumn[], organizationId: string | null): void {
  if (
    columns.some((column) => (column.organization_column === null) !== (organizationId === null))
  ) {
    throw unknownColumn();
  }
}

function unknownColumn(): BulwarkError {
  return new BulwarkError(
    404,
    "ENCRYPTION_UNKNOWN_COLUMN",
    "Cannot find column: it is not declared as encrypted, or not that way",
  );
}

async function authorize(
  caller: CallerClient,
  action: "encrypt" | "decrypt" | "find",
  table: string,
  columns: readonly string[],
  primaryKeys: readonly string[],
  organizationId: string | null,
): Promise<void> {
  unwrap(
    await caller.rpc("authorize_field_access", {
      action,
      table_name: table,
      columns: [...columns],
      primary_keys: [...primaryKeys],
      ...(organizationId === null ? {} : { organization_id: organizationId }),
    }),
  );
}

/** Asks the database, so that a cached key is not used after its destruction. */
async function forgetDestroyed(
  service: CallerClient,
  keys: DataKeys,
  organizationId: string | null,
): Promise<void> {
  if (organizationId === null) return;
  const asked = { for_organization: organizationId };
  if (unwrap(await service.rpc("is_shredded", asked))) keys.forgetOrganization(organizationId);
}

function groupByOrganization(rows: Row[]): Map<string | null, Row[]> {
  const groups = new Map<string | null, Row[]>();
  for (const row of rows) {
    groups.set(row.organizationId, [...groups.get(row.organizationId) ?? [], row]);
  }
  return groups;
}

function addressOf(
  { schema_name: schema, relation_name: table, column_name: column }: DeclaredColumn,
  primaryKey: string,
  organizationId: string | null,
) {
  return { schema, table, column, primaryKey, organizationId };
}
