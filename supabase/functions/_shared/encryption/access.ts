/** What frontends have done with fields: as the caller, decided and recorded before it is done. */
import { z } from "zod";
import type { CallerClient } from "../caller.ts";
import { BulwarkError } from "../errors.ts";
import { blindIndex, blindIndexes, type Normalization, normalize } from "./blind_index.ts";
import type { DataKeys } from "./data_keys.ts";
import { EncryptionError, isAboutTheRow } from "./errors.ts";
import { decryptField, encryptField } from "./fields.ts";
import type { DecryptInput, EncryptInput, FindInput } from "./input.ts";
import { unwrap } from "./store.ts";

/** Who asks, and what answers with. */
export interface Access {
  /** Acts as the caller, under row-level security. */
  caller: CallerClient;
  service: CallerClient;
  keys: DataKeys;
}

/** A declared column. */
interface DeclaredColumn {
  column_name: string;
  primary_key: string;
  primary_key_type: string;
  organization_column: string | null;
  index_column: string | null;
  normalization: Normalization;
}

/** The columns of a row as they are to be written: ciphertext, and blind indexes beside. */
export interface EncryptedRow {
  primary_key: string;
  fields: Record<string, string | null>;
}

/**
 * Encrypts fields for rows that the caller then writes under the table's own policies. What it gives
 * is bound to the organization and the primary key named here: in any other row it is worthless, and
 * so it does no harm that the row may not exist yet.
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
      const address = addressOf(table, column, primary_key, organization_id);
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

/** A row's texts. */
export interface DecryptedRow {
  primary_key: string;
  fields: Record<string, string | null>;
}

/**
 * Decrypts fields of rows that the caller can read. The ciphertext is read here, as the caller, and
 * never taken from the request: nobody has a value decrypted whose row is closed to him. Rows that he
 * cannot see are left out, like rows that do not exist.
 * @throws BulwarkError RBAC_PERMISSION_DENIED, ENCRYPTION_UNKNOWN_COLUMN; EncryptionError
 */
export async function decryptRows(
  { caller, service, keys }: Access,
  { table, columns: names, primary_keys }: DecryptInput,
): Promise<{ rows: DecryptedRow[] }> {
  const columns = await declared(service, table, names);
  const found = await readRows(caller, table, columns, (rows, key) => rows.in(key, primary_keys));
  for (const [organization, rows] of groupByOrganization(found)) {
    const shown = rows.map((row) => row.primaryKey);
    await authorize(caller, "decrypt", table, names, shown, organization);
    await forgetDestroyed(service, keys, organization);
  }
  return { rows: await Promise.all(found.map((row) => decryptRow(keys, table, columns, row))) };
}

/**
 * The primary keys of the caller's rows that have a text in an indexed column, at most 100. Each is
 * decrypted and compared, so that an index somebody wrote beside another text leads nowhere.
 * @throws BulwarkError RBAC_PERMISSION_DENIED, ENCRYPTION_UNKNOWN_COLUMN; EncryptionError
 */
export async function findRows(
  { caller, service, keys }: Access,
  { table, organization_id, column: name, value }: FindInput,
): Promise<{ primary_keys: string[] }> {
  await authorize(caller, "find", table, [name], [], organization_id);
  const columns = await declared(service, table, [name]);
  requireOwner(columns, organization_id);
  const [column] = columns;
  const index = column?.index_column;
  if (!column || !index) throw unknownColumn();
  await forgetDestroyed(service, keys, organization_id);
  const indexed = addressOf(table, column, "", organization_id);
  const indexes = await blindIndexes(keys, indexed, value, column.normalization);
  if (indexes.length === 0) return { primary_keys: [] };
  const found = await readRows(caller, table, columns, (rows) => rows.in(index, indexes));
  const wanted = normalize(value, column.normalization);
  const matches = await Promise.all(
    found.filter((row) => row.organizationId === organization_id).map(async (row) => {
      const { fields } = await decryptRow(keys, table, columns, row).catch(notAMatch);
      const text = fields[name];
      const same = typeof text === "string" && normalize(text, column.normalization) === wanted;
      return same ? [row.primaryKey] : [];
    }),
  );
  return { primary_keys: matches.flat() };
}

/** Who spoils one row is not to keep others from finding theirs. */
function notAMatch(thrown: unknown): Pick<DecryptedRow, "fields"> {
  if (thrown instanceof EncryptionError && isAboutTheRow(thrown)) return { fields: {} };
  throw thrown;
}

interface Row {
  primaryKey: string;
  organizationId: string | null;
  values: Record<string, string | null>;
}

async function decryptRow(
  keys: DataKeys,
  table: string,
  columns: DeclaredColumn[],
  { primaryKey, organizationId, values }: Row,
): Promise<DecryptedRow> {
  const fields = await Promise.all(columns.map(async (column) => {
    const ciphertext = values[column.column_name] ?? null;
    const address = addressOf(table, column, primaryKey, organizationId);
    const text = ciphertext === null ? null : await decryptField(keys, address, ciphertext);
    return [column.column_name, text] as const;
  }));
  return { primary_key: primaryKey, fields: Object.fromEntries(fields) };
}

/** A query on a table of the host application, which the generated types do not know. */
interface RowQuery extends PromiseLike<Parameters<typeof unwrap<Record<string, unknown>[]>>[0]> {
  in(column: string, values: readonly string[]): RowQuery;
  limit(count: number): RowQuery;
}

async function readRows(
  caller: CallerClient,
  table: string,
  columns: DeclaredColumn[],
  filter: (rows: RowQuery, primaryKey: string) => RowQuery,
): Promise<Row[]> {
  const [first] = columns;
  const key = first!.primary_key;
  const organization = first!.organization_column;
  const names = new Set([...organization ? [organization] : [], ...columns.map(nameOf)]);
  // As text: JSON has other numbers than Postgres.
  const selected = [`${JSON.stringify(key)}::text`, ...[...names].map((n) => JSON.stringify(n))];
  const query = (caller as unknown as { from(name: string): { select(names: string): RowQuery } })
    .from(table).select(selected.join(","));
  const rows = unwrap(await filter(query, key).limit(100));
  return rows.map((row) => ({
    primaryKey: String(row[key]),
    organizationId: organization ? row[organization] as string | null : null,
    values: row as Record<string, string | null>,
  }));
}

const nameOf = ({ column_name }: DeclaredColumn) => column_name;

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
 * A primary key as Postgres writes it, since that is what a value is bound to: another spelling of the
 * same key would never decrypt again.
 * @throws BulwarkError 400 INVALID_INPUT
 */
function canonicalKey(type: string, key: string): string {
  if (type === "uuid" && z.guid().safeParse(key).success) return key.toLowerCase();
  if (/int/.test(type) && /^(0|-?[1-9][0-9]{0,18})$/.test(key)) return key;
  if (type === "text" || type === "character varying") return key;
  throw new BulwarkError(
    400,
    "INVALID_INPUT",
    `Cannot read a primary key: it is no ${type} as Postgres writes it`,
  );
}

/** A column without an organization's is the system's, and the other way round. */
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

/** Asks the database, so that a cached key does not outlive its destruction here. */
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
  table: string,
  { column_name }: DeclaredColumn,
  primaryKey: string,
  organizationId: string | null,
) {
  return { schema: "public", table, column: column_name, primaryKey, organizationId };
}
