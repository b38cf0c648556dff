/** Rows of the host's tables, read through the Data API as the caller. */
import type { CallerClient } from "../foundation/caller.ts";
import { BulwarkError } from "../foundation/errors.ts";
import type { Normalization } from "./blind_index.ts";
import { unwrap } from "./store.ts";

/** A declared column, as returned by `list_encrypted_columns`. */
export interface DeclaredColumn {
  column_name: string;
  primary_key: string;
  primary_key_type: string;
  organization_column: string | null;
  /** The type of the organization's column; null without one. */
  organization_type: string | null;
  index_column: string | null;
  normalization: Normalization;
  schema_name: string;
  relation_name: string;
}

/** The requested declared columns of a table, which all have the same primary key. */
export type Columns = readonly DeclaredColumn[];

/** A row: its key as printed by Postgres, its organization, and its ciphertexts. */
export interface Row {
  primaryKey: string;
  organizationId: string | null;
  values: Record<string, string | null>;
}

/** The client of the caller, who reads the rows, and that of the service role. */
interface Readers {
  caller: CallerClient;
  service: CallerClient;
}

/** A query on a table of the host application, which the generated types do not know. */
interface RowQuery extends PromiseLike<Parameters<typeof unwrap<Record<string, unknown>[]>>[0]> {
  filter(column: string, operator: string, value: string): RowQuery;
  order(column: string): RowQuery;
  limit(count: number): RowQuery;
}

/** Maximum characters of a list of keys in a URL, since proxies limit URLs to 8 KB. */
const longestList = 4000;

/** The rows with these primary keys that the caller can see, in no particular order. */
export async function readRowsByKey(
  readers: Readers,
  columns: Columns,
  primaryKeys: readonly string[],
): Promise<Row[]> {
  const key = columns[0]!.primary_key;
  const found: Row[] = [];
  for (const list of listsOf(primaryKeys)) {
    found.push(...await read(readers, columns, query(readers, columns).filter(key, "in", list)));
  }
  return found;
}

/**
 * Lists of keys for the operator `in`, quoted and escaped: a key may contain commas, quotes and
 * backslashes, or be `null`.
 */
function listsOf(keys: readonly string[]): string[] {
  const lists: string[][] = [];
  let length = Infinity;
  for (const key of new Set(keys)) {
    const quoted = `"${key.replace(/["\\]/g, "\\$&")}"`;
    const added = encodeURIComponent(quoted).length + 3;
    if (length + added > longestList) {
      lists.push([]);
      length = 0;
    }
    lists.at(-1)!.push(quoted);
    length += added;
  }
  return lists.map((list) => `(${list.join(",")})`);
}

/** A place in a search: the id of the index key, and the primary key of the last row. */
export interface Place {
  indexKey: string;
  primaryKey: string;
}

/** A page of a search. */
interface IndexedPage {
  rows: Row[];
  isLast: boolean;
  /** The text of the place after a row: `<index key>.<primary key>`. */
  cursor(primaryKey: string): string;
}

const pageSize = 200;

/**
 * The caller's rows of an organization with one of these blind indexes (the current one first), by
 * page. Rows are in the order of index and primary key, like the database index, so that every page
 * costs the same. The current index comes last: a row that is re-encrypted meanwhile moves to it,
 * and may appear twice.
 */
export async function* readRowsByIndex(
  readers: Readers,
  columns: Columns,
  organizationId: string | null,
  indexes: readonly string[],
  after: Place | null,
): AsyncGenerator<IndexedPage> {
  const { primary_key, index_column, organization_column, organization_type } = columns[0]!;
  const inOrder = indexes.toReversed();
  const start = inOrder.findIndex((index) => indexKeyOf(index) === after?.indexKey);
  const left = inOrder.slice(Math.max(start, 0));
  for (const [position, index] of left.entries()) {
    const indexKey = indexKeyOf(index);
    let last = after?.indexKey === indexKey ? after.primaryKey : null;
    for (let isWhole = false; !isWhole;) {
      let rows = query(readers, columns).filter(index_column!, "eq", index);
      // Another key of the host cannot be computed from the organization: the caller compares.
      if (organization_type === "uuid") {
        rows = rows.filter(organization_column!, "eq", organizationId!);
      }
      if (last !== null) rows = rows.filter(primary_key, "gt", last);
      const page = await read(readers, columns, rows.order(primary_key).limit(pageSize));
      isWhole = page.length < pageSize;
      yield {
        rows: page,
        isLast: isWhole && position === left.length - 1,
        cursor: (key) => `${indexKey}.${key}`,
      };
      last = page.at(-1)?.primaryKey ?? null;
    }
  }
}

/** The id of a blind index's key: `bwi1.<22 characters>.<HMAC>`. */
function indexKeyOf(index: string): string {
  return index.slice(5, 27);
}

interface HostTables {
  from(name: string): { select(names: string): RowQuery };
}

function query({ caller }: Readers, columns: Columns): RowQuery {
  const { primary_key, organization_column, schema_name, relation_name } = columns[0]!;
  // The keys as text, since JSON numbers differ from those of Postgres.
  const keys = new Set([primary_key, ...organization_column ? [organization_column] : []]);
  const selected = [
    ...[...keys].map((n) => `${JSON.stringify(n)}::text`),
    ...columns.map(({ column_name }) => JSON.stringify(column_name)),
  ];
  // The host's tables are not in the generated types.
  const host = caller.schema(schema_name as never) as unknown as HostTables;
  return host.from(relation_name).select(selected.join(","));
}

/** @throws BulwarkError 404 ENCRYPTION_TABLE_NOT_EXPOSED, and what the Data API refuses */
async function read({ service }: Readers, columns: Columns, rows: RowQuery): Promise<Row[]> {
  const { primary_key, organization_column, organization_type } = columns[0]!;
  const answer = await rows;
  const { code = "", details } = answer.error ?? {};
  // The Data API does not know the schema, the table or a column, or the role may not read it. A
  // refusal by a policy of Bulwark has details.
  const isHidden = ["PGRST106", "PGRST205", "42P01", "42703"].includes(code) ||
    code === "42501" && !details;
  if (isHidden) {
    throw new BulwarkError(
      404,
      "ENCRYPTION_TABLE_NOT_EXPOSED",
      "Cannot read the table: the Data API does not show it and all its declared columns",
    );
  }
  const found = unwrap(answer);
  const keyOf = (row: Record<string, unknown>) =>
    organization_column ? row[organization_column] as string | null : null;
  const organizations = organization_type === null || organization_type === "uuid"
    ? null
    : await organizationsByKey(service, found.map(keyOf));
  return found.map((row) => {
    const key = keyOf(row);
    return {
      primaryKey: String(row[primary_key]),
      organizationId: organizations && key !== null ? organizations.get(key)! : key,
      values: row as Record<string, string | null>,
    };
  });
}

async function organizationsByKey(
  service: CallerClient,
  keys: (string | null)[],
): Promise<Map<string, string>> {
  const asked = [...new Set(keys.filter((key) => key !== null))];
  if (asked.length === 0) return new Map();
  const organizations = unwrap(await service.rpc("organizations_by_key", { keys: asked }));
  return new Map(asked.map((key, index) => [key, organizations[index]!]));
}
