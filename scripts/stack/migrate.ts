import { basename, join } from "node:path";
import { exists, supabaseCli } from "./binaries.ts";
import type { Cluster } from "./cluster.ts";
import { connect } from "./connection.ts";
import { Failure } from "./failure.ts";
import { root } from "./paths.ts";

/** The database to migrate, and the project with the migrations. */
export interface MigrateOptions {
  cluster: Cluster;
  password: string;
  database?: string | undefined;
  /** The folder that holds `supabase/`; the repository unless a test brings its own. */
  project?: string | undefined;
}

/**
 * Applies what is pending with the real CLI, as `postgres`, who is no superuser. A migration that
 * fails is rolled back by the CLI and reported with its file, line and SQL error.
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const project = options.project ?? root;
  const files = await migrationFiles(project);
  const applied = await appliedVersions(options);
  const versions = new Set(files.map((file) => basename(file).split("_")[0]));
  const upToDate = applied.length === versions.size &&
    applied.every((version) => versions.has(version));
  if (upToDate) return;

  const result = await runCli(["db", "push", "--yes", "--skip-vault"], options);
  if (!result.success) throw await explain(result.output, project);
}

/** Runs the CLI against a database and returns what it printed. */
export async function runCli(
  args: string[],
  options: MigrateOptions,
): Promise<{ success: boolean; output: string; stdout: string }> {
  const { cluster, database = "postgres" } = options;
  const remote = `postgresql://postgres@127.0.0.1:${cluster.port}/${database}?sslmode=disable`;
  const result = await new Deno.Command(supabaseCli(), {
    args: [...args, `--remote=${remote}`, "--agent", "no", "--workdir", options.project ?? root],
    env: {
      // Not in the connection string, which every local user could read in the process list.
      PGPASSWORD: options.password,
      SUPABASE_TELEMETRY_DISABLED: "1",
      SUPABASE_NO_UPDATE_NOTIFIER: "1",
      NO_COLOR: "1",
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const stdout = new TextDecoder().decode(result.stdout);
  const output = stdout + new TextDecoder().decode(result.stderr);
  return { success: result.success, output, stdout };
}

/** The migrations of a project, in their order. */
export async function migrationFiles(project: string): Promise<string[]> {
  const folder = join(project, "supabase", "migrations");
  if (!exists(folder)) return [];
  const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  return names.filter((name) => name.endsWith(".sql")).sort().map((name) => join(folder, name));
}

/** The versions in the history of a database; none before the first push. */
export async function appliedVersions(
  { cluster, password, database }: MigrateOptions,
): Promise<string[]> {
  const sql = connect(cluster.url("postgres", password, database));
  try {
    const [history] = await sql`
      select to_regclass('supabase_migrations.schema_migrations') is not null as exists
    `;
    if (!history?.exists) return [];
    const rows = await sql<{ version: string }[]>`
      select version from supabase_migrations.schema_migrations
    `;
    return rows.map(({ version }) => version);
  } finally {
    await sql.end();
  }
}

/** Finds the file, line and SQL error in what the CLI printed. */
async function explain(output: string, project: string): Promise<Failure> {
  const file = [...output.matchAll(/Applying migration (\S+\.sql)/g)].at(-1)?.[1];
  const error = /^ERROR: (.*)$/m.exec(output)?.[1];
  if (!file || !error) {
    const message = output.trim().split("\n").find((line) => !/^(Target|Confirmed)/.test(line));
    return new Failure("MIGRATION_FAILED", `Cannot migrate: ${message ?? "the CLI failed"}`);
  }
  const path = join("supabase", "migrations", file);
  const line = failingLine(await Deno.readTextFile(join(project, path)), output);
  return new Failure(
    "MIGRATION_FAILED",
    `Cannot migrate: ${path}${line ? `:${line}` : ""}: ${error}; nothing of this file was applied`,
  );
}

/**
 * The line of the file that a failed push points at. The CLI prints the failing statement: all of
 * it, or, above a caret, up to the line with the error.
 */
export function failingLine(source: string, output: string): number | null {
  const report = /^At statement: \d+\n([\s\S]*?)\n(?:( *)\^\n|Try rerunning)/m.exec(output);
  const statement = report?.[1];
  if (!statement) return null;
  const start = source.indexOf(statement);
  if (start < 0) return null;
  const caret = report[2] !== undefined;
  const leading = caret ? statement : /^(?:\s*(?:--.*|\/\*[\s\S]*?\*\/))*\s*/.exec(statement)?.[0];
  return source.slice(0, start + (leading ?? "").length).split("\n").length;
}
