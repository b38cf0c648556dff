/** Audited tables for tests with parallel connections. */
import type { Sql } from "postgres";
import { connect } from "../support.ts";

/** An audited table for one test, dropped at the end. */
export async function withTable(
  options: { bulk?: boolean },
  test: (sql: Sql, table: string, organizations: string[]) => Promise<void>,
): Promise<void> {
  const sql = connect(32);
  const table = `audited_${crypto.randomUUID().slice(0, 8)}`;
  const organizations = [crypto.randomUUID(), crypto.randomUUID()];
  try {
    await sql.unsafe(`
      create table public.${table} (
        id bigint generated always as identity primary key, organization_id uuid, n integer
      );
      select bulwark.enable_audit('public.${table}', organization_column => 'organization_id',
        bulk => ${options.bulk ?? false});
    `);
    await test(sql, table, organizations);
  } finally {
    await sql.unsafe(`
      select bulwark.disable_audit('public.${table}');
      drop table public.${table};
    `);
    await sql.end();
  }
}

/** Seals the log. */
export async function seal(sql: Sql): Promise<void> {
  await sql`select bulwark.seal_audit_log()`;
}
