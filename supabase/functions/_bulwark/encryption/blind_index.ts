import { lengthPrefixed, shortId, toBase64Url, utf8 } from "./bytes.ts";
import type { DataKeys, OpenDataKey } from "./data_keys.ts";
import { canonicalId, type FieldAddress } from "./format.ts";

/** A column whose values can be searched for equality, of one organization. */
export type IndexedColumn = Omit<FieldAddress, "primaryKey">;

/** Which texts count as equal: `exact`, or `folded`: whatever case, form and outer blanks they have. */
export type Normalization = "exact" | "folded";

/** The text that is compared: as it is, or folded (NFKC, lower case, trimmed). */
export function normalize(text: string, normalization: Normalization): string {
  return normalization === "exact" ? text : text.normalize("NFKC").toLowerCase().trim();
}

/**
 * The blind index of a text: `bwi1.<index key>.<HMAC-SHA-256>`, the same for equal texts of one
 * column in one organization and for no others. Whoever may have indexes made and can read the
 * column can confirm a guess: do not index what has few possible values.
 * @throws EncryptionError key_destroyed, and what stands in the way of the key
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
 * All blind indexes that rows with this text may have while an index key is being replaced, for
 * `column_index in (…)`; none where the organization has no index key yet.
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
