/** Looks into a project's database. Nothing is changed there. */
import postgres from "postgres";
import { statementsOf } from "../scripts/building/statements.ts";
import { contentsFor } from "./contents.ts";
import { connectionOf } from "./database_url.ts";
import { CliError, reason } from "./errors.ts";
import type { Lock } from "./lock.ts";
import type { Clash } from "./plan.ts";
import { migrationsFolder } from "./project.ts";

/** A read-only transaction in a project's database. */
export type Database = postgres.TransactionSql;

/** Asks in a read-only transaction, also through a pooler of transactions. */
export async function withDatabase<T>(
  url: string,
  task: (sql: Database) => Promise<T>,
): Promise<T> {
  let sql: postgres.Sql | undefined;
  try {
    sql = postgres(url, {
      ...connectionOf(url),
      max: 1,
      onnotice: () => {},
      connect_timeout: 10,
      prepare: false,
      connection: { application_name: "bulwark" },
    });
    return await sql.begin("read only", task) as T;
  } catch (thrown) {
    if (thrown instanceof CliError) throw thrown;
    // A message of the driver may hold the address, never the password.
    throw new CliError("CLI_DATABASE_UNREACHABLE", `Cannot ask the database: ${reason(thrown)}`);
  } finally {
    await sql?.end({ timeout: 5 });
  }
}

/** The versions of migrations that the database has; none before the first push. */
export async function appliedVersions(sql: Database): Promise<string[]> {
  const [history] = await sql`
    select to_regclass('supabase_migrations.schema_migrations') is not null as exists
  `;
  if (!history?.exists) return [];
  const rows = await sql<{ version: string }[]>`
    select version from supabase_migrations.schema_migrations order by version
  `;
  return rows.map(({ version }) => version);
}

/**
 * Clashes in the database: the answer of the first migration's own check. None where the database
 * has this installation.
 */
export async function databaseClashes(sql: Database, lock: Lock | null): Promise<Clash[]> {
  const ours = Object.keys(lock?.files ?? {}).map((path) =>
    new RegExp(`^${migrationsFolder}/(\\d+)_`).exec(path)?.[1]
  );
  if ((await appliedVersions(sql)).some((version) => ours.includes(version))) return [];
  const statements = statementsOf(contentsFor([]).migrations[0]?.text ?? "");
  const preflight = statements.find((text) => text.includes("Cannot install Bulwark")) ?? "";
  try {
    await sql.savepoint((inner) => inner.unsafe(preflight));
    return [];
  } catch (thrown) {
    const list = /^Cannot install Bulwark: (.*)$/s.exec(reason(thrown))?.[1];
    if (!list) throw thrown;
    return list.split("; ").map((problem) => ({ where: "the database", problem }));
  }
}
