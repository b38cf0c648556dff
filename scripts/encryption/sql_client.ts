import type { CallerClient } from "../../supabase/functions/_bulwark/foundation/caller.ts";
import type { Sql } from "../stack/connection.ts";

/**
 * A client whose `rpc` calls functions of schema bulwark over a connection instead of the Data API,
 * for benchmarks and tests on a database without one. Errors are thrown.
 */
export function sqlClient(sql: Sql): CallerClient {
  const client = {
    async rpc(name: string, given: Record<string, unknown> = {}) {
      const names = Object.keys(given);
      const values = names.map((key) => {
        const value = given[key];
        return jsonArguments.has(key) ? sql.json(value as never) : value as never;
      });
      const listed = names.map((key, index) => `${key} => $${index + 1}`).join(", ");
      const rows = await sql.unsafe(`select * from bulwark.${name}(${listed})`, values);
      const single = rows.columns.length === 1 && rows.columns[0]?.name === name;
      return { data: single ? rows[0]?.[name] : [...rows], error: null, status: 200 };
    },
  };
  return client as unknown as CallerClient;
}

const jsonArguments = new Set(["changes", "failures"]);
