/** The schema of the database as Lite's REST knows it. */
import type { PostgresConnection } from "@supabase/lite/postgres";
import type { ConnectionGuard } from "./connection.ts";

type Introspect = PostgresConnection["introspect"];

/**
 * Makes one connection read the schema for another, whose login has no rights and would see nothing.
 * Requests share a reading, and one during which the schema changed is repeated. Returns the call for
 * a change.
 */
export function readSchemaFor(
  reader: PostgresConnection,
  served: PostgresConnection,
  guard: ConnectionGuard,
): () => void {
  let changes = 0;
  let reading: ReturnType<Introspect> | undefined;
  const read: Introspect = async (options) => {
    for (;;) {
      const before = changes;
      const schema = await reader.introspect(options);
      if (changes === before) return schema;
      await reader.clearSchemaCache();
    }
  };
  const introspect: Introspect = (options) =>
    reading ??= guard.during(read(options)).finally(() => reading = undefined);
  Object.assign(served, { introspect });
  return () => {
    changes++;
    // It forgets at once; the promise is of a store that is not used here.
    reader.clearSchemaCache();
  };
}
