import { toBase64Url, utf8 } from "../foundation/bytes.ts";
import { lengthPrefixed, shortId } from "./bytes.ts";
import type { DataKeys } from "./data_keys.ts";
import type { OpenDataKey } from "./open_data_key.ts";
import { canonicalId, type FieldAddress } from "./format.ts";

/** A column of one organization that can be searched for equality. */
export type IndexedColumn = Omit<FieldAddress, "primaryKey">;

/** Equality of texts: `exact`, or `folded`, which ignores case, Unicode form and outer blanks. */
export type Normalization = "exact" | "folded";

/** The text to compare: unchanged, or folded (NFKC, lower case, trimmed). */
export function normalize(text: string, normalization: Normalization): string {
  return normalization === "exact" ? text : text.normalize("NFKC").toLowerCase().trim();
}

/**
 * The blind index of a text: `bwi1.<index key>.<HMAC-SHA-256>`, the same for equal texts of one
 * column in one organization, and only there. A caller who can compute indexes and read the column
 * can confirm guesses, so do not index columns with few possible values.
 * @throws EncryptionError key_destroyed, and errors of the key
 */
export async function blindIndex(
  keys: DataKeys,
  column: IndexedColumn,
  text: string,
  normalization: Normalization = "exact",
): Promise<string> {
  const [current] = await keys.indexKeys(column.organizationId, true);
  return await indexUnder(current!, column, normalize(text, normalization));
}

/**
 * All blind indexes that rows with this text may have during a rotation of the index key, for
 * `column_index in (…)`; none if the organization has no index key yet.
 */
export async function blindIndexes(
  keys: DataKeys,
  column: IndexedColumn,
  text: string,
  normalization: Normalization = "exact",
): Promise<string[]> {
  const normalized = normalize(text, normalization);
  const live = await keys.indexKeys(column.organizationId, false);
  return await Promise.all(live.map((key) => indexUnder(key, column, normalized)));
}

async function indexUnder(
  key: OpenDataKey,
  { schema, table, column, organizationId }: IndexedColumn,
  text: string,
): Promise<string> {
  const name = `${schema}\0${table}\0${column}`;
  const owner = canonicalId(organizationId);
  const info = lengthPrefixed("bulwark blind index", "bwi1", owner, schema, table, column);
  const mac = await crypto.subtle.sign("HMAC", await key.indexKey(name, info), utf8(text));
  return `bwi1.${shortId(key.identity.id)}.${toBase64Url(new Uint8Array(mac))}`;
}
