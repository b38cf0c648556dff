import { basename } from "node:path";
import { connect } from "../stack/connection.ts";
import { appliedVersions, type MigrateOptions, migrationFiles } from "../stack/migrate.ts";
import { root } from "../stack/paths.ts";

/**
 * Applies what is pending as `supabase db push` does, as `postgres`, each file in a transaction with
 * its row in the history. For tests whose subject is not the CLI, which takes seconds to launch.
 */
export async function push(options: MigrateOptions): Promise<void> {
  const { cluster, password, database, project = root } = options;
  const applied = new Set(await appliedVersions(options));
  const sql = connect(cluster.url("postgres", password, database));
  try {
    await sql.unsafe(`
      create schema if not exists supabase_migrations;
      create table if not exists supabase_migrations.schema_migrations (
        version text not null primary key, statements text[], name text
      );
    `).simple();
    for (const file of await migrationFiles(project)) {
      const [, version = "", name = ""] = /^(\d+)_(.*)\.sql$/.exec(basename(file)) ?? [];
      if (applied.has(version)) continue;
      const text = await Deno.readTextFile(file);
      await sql.begin(async (transaction) => {
        await transaction.unsafe(text).simple();
        await transaction`
          insert into supabase_migrations.schema_migrations (version, name, statements)
          values (${version}, ${name}, ${[text]})
        `;
      });
    }
  } finally {
    await sql.end();
  }
}
