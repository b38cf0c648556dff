import type { Transaction } from "./connection.ts";
import type { Found } from "./finding.ts";
import type { ProjectFiles } from "./project_files.ts";

/** The input of the checks. */
export interface Context {
  sql: Transaction;
  /** Whether a relation or function of the schemas bulwark and bulwark_private exists. */
  has(name: string): boolean;
  /** The version of this command; null if it is unknown. */
  own: string | null;
  /** The project's folder, if the command runs in one. */
  project: ProjectFiles | null;
}

/** One subject of the examination. It looks only at what is installed. */
export type Check = (context: Context) => Promise<Found[]>;

/** The names of all relations and functions of Bulwark in the database, with their schema. */
export async function namesIn(sql: Transaction): Promise<Set<string>> {
  const rows = await sql<{ name: string }[]>`
    select n.nspname || '.' || o.name as name
    from (
      select c.relnamespace as namespace, c.relname as name from pg_class c
      where c.relkind in ('r', 'p', 'v', 'm')
      union
      select p.pronamespace, p.proname from pg_proc p
    ) o
    join pg_namespace n on n.oid = o.namespace
    where n.nspname in ('bulwark', 'bulwark_private')
  `;
  return new Set(rows.map(({ name }) => name));
}
