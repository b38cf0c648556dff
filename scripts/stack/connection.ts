import postgres from "postgres";

/** A pool of connections; `sql\`...\`` runs one statement with bound parameters. */
export type Sql = postgres.Sql;

/** Opens a pool. Notices are not printed: they are migrations talking to themselves. */
export function connect(url: string, options: { max?: number } = {}): Sql {
  return postgres(url, { max: options.max ?? 1, onnotice: () => {}, connect_timeout: 10 });
}
