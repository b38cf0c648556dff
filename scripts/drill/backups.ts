/** Backups as Supabase and as people make them, and how they are restored. */
import type { Sql } from "../stack/connection.ts";
import { run, type Server } from "./programs.ts";

/** The three files that `supabase db dump` makes. */
export interface Backup {
  roles: string;
  schema: string;
  data: string;
}

const platformSchemas = "information_schema|pg_*|auth|cron|extensions|net|realtime|storage|vault|" +
  "supabase_functions|supabase_migrations";
const platformRoles = "anon|authenticated|authenticator|postgres|service_role|supabase_.*";

/** A dump as the CLI makes it: its flags, and the statements it changes or leaves out. */
export async function dumpAsCli(source: Server, extra: string[] = []): Promise<Backup> {
  const common = ["--quote-all-identifiers", "--role=postgres"];
  const [roles, schema, data] = await Promise.all([
    run(source, null, {
      name: "pg_dumpall",
      args: ["--roles-only", "--no-role-passwords", "--no-comments", ...common],
    }),
    run(source, "postgres", {
      name: "pg_dump",
      args: ["--schema-only", `--exclude-schema=${platformSchemas}`, ...common],
    }),
    run(source, "postgres", {
      name: "pg_dump",
      args: [
        "--data-only",
        "--exclude-schema=information_schema|pg_*|extensions|supabase_migrations",
        "--exclude-table=auth.schema_migrations",
        ...common,
        ...extra,
      ],
    }),
  ]);
  return {
    roles: everyLine(roles, [
      [new RegExp(`^(CREATE|ALTER) ROLE "(${platformRoles})".*`), "-- $&"],
      // The last one is the CLI's no more than ours: hosted, `postgres` may say it.
      [/ (NOSUPERUSER|NOREPLICATION|NOBYPASSRLS)/g, ""],
      [new RegExp(`^GRANT .* TO "(${platformRoles})".*`), "-- $&"],
    ]),
    schema: everyLine(schema, [
      [/^CREATE (SCHEMA|TABLE|SEQUENCE) "/, 'CREATE $1 IF NOT EXISTS "'],
      [/^CREATE (VIEW|FUNCTION|TRIGGER) "/, 'CREATE OR REPLACE $1 "'],
      [/^ALTER DEFAULT PRIVILEGES FOR ROLE "supabase_admin".*/, "-- $&"],
      [/^COMMENT ON EXTENSION .*/, "-- $&"],
      // Only a superuser makes them; hosted has its own already.
      [/^(CREATE|ALTER) EVENT TRIGGER |^ {3}EXECUTE FUNCTION /, "-- $&"],
    ]),
    data: `SET session_replication_role = replica;\n${data}\nRESET ALL;\n`,
  };
}

function everyLine(text: string, changes: [RegExp, string][]): string {
  return text.split("\n")
    .map((line) => changes.reduce((now, [from, to]) => now.replace(from, to), line))
    .join("\n");
}

/** Restores as Supabase's guide does: one transaction, as `postgres`, who is no superuser. */
export async function restoreAsCli(
  target: Server,
  files: string[],
  database = "postgres",
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const paths = await Promise.all(files.map(async (text, number) => {
      const path = `${folder}/${number}.sql`;
      await Deno.writeTextFile(path, text);
      return path;
    }));
    await run(target, database, {
      name: "psql",
      role: "postgres",
      args: [
        ...["--single-transaction", "--variable=ON_ERROR_STOP=1", "--quiet", "--no-psqlrc"],
        ...paths.map((path) => `--file=${path}`),
      ],
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Every row of every table that survives a crash, and every sequence, as one digest each. */
export async function contents(
  sql: Sql,
  columns: Record<string, string> = {},
): Promise<Record<string, string>> {
  const relations = await sql<{ name: string; kind: string }[]>`
    select c.oid::regclass::text as name, c.relkind as kind from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('bulwark', 'bulwark_private', 'auth', 'public') and c.relkind in ('r', 'S')
      and c.relpersistence = 'p'
      and c.relname <> 'schema_migrations'
    order by 1
  `;
  const found: Record<string, string> = {};
  for (const { name, kind } of relations) {
    const [row] = await sql.unsafe(
      kind === "S"
        ? `select last_value::text as digest from ${name}`
        : `select count(*) || ' ' || coalesce(md5(string_agg(t::text, '' order by t::text)), '')
           as digest from ${columns[name] ? `(select ${columns[name]} from ${name})` : name} t`,
    );
    found[name] = row?.digest;
  }
  return found;
}
