import assert from "node:assert/strict";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import { readRowsByIndex } from "../../../supabase/functions/_bulwark/encryption/rows.ts";

const columns = [{
  column_name: "email",
  primary_key: "id",
  primary_key_type: "uuid",
  organization_column: null,
  organization_type: null,
  index_column: "email_index",
  normalization: "exact" as const,
  schema_name: "app",
  relation_name: "contacts",
}];
const indexOf = (letter: string) => `bwi1.${letter.repeat(22)}.hmac`;

/** A table that supports as much of the Data API as a search uses. */
function database(rows: { id: string; email_index: string }[]): CallerClient {
  const query = (found: typeof rows) => ({
    filter: (column: "id" | "email_index", operator: string, value: string) =>
      query(found.filter((row) => operator === "gt" ? row[column] > value : row[column] === value)),
    order: () => query(found.toSorted((one, other) => one.id < other.id ? -1 : 1)),
    limit: (count: number) => query(found.slice(0, count)),
    then: (resolve: (answer: unknown) => void) => resolve({ data: found, error: null }),
  });
  const schema = (schema: string) => ({
    from(table: string) {
      assert.deepEqual([schema, table], ["app", "contacts"], "read from the declared table");
      return { select: () => query(rows) };
    },
  });
  return { schema } as unknown as CallerClient;
}

for (const [current, old] of [["a", "b"], ["b", "a"]] as const) {
  Deno.test(`a row that moves to the current index during a search is found (${current})`, async () => {
    const ids = Array.from({ length: 250 }, (_, at) => String(at).padStart(3, "0"));
    const rows = ids.map((id) => ({ id, email_index: indexOf(old) }));
    const indexes = [indexOf(current), indexOf(old)];
    const readers = { caller: database(rows), service: database([]) };
    const found = new Set<string>();
    for await (const page of readRowsByIndex(readers, columns, null, indexes, null)) {
      for (const { primaryKey } of page.rows) found.add(primaryKey);
      // Meanwhile the last rows are re-encrypted.
      if (found.size > 0) {
        for (const row of rows.slice(-100)) row.email_index = indexOf(current);
      }
    }
    assert.deepEqual([...found].sort(), ids);
  });
}
