/** Applications that install Bulwark: their projects, their databases, and the packed command. */
import assert from "node:assert/strict";
import { dirname, join, relative } from "node:path";
import { matchesGlob } from "../../cli/glob.ts";
import { debianPostgres, embeddedPostgres, supabaseCli } from "../../scripts/stack/binaries.ts";
import { connect, type Sql } from "../../scripts/stack/connection.ts";
import { runCli } from "../../scripts/stack/migrate.ts";
import { inRepository, root } from "../../scripts/stack/paths.ts";
import type { ScratchCluster } from "../../scripts/stack/scratch_cluster.ts";
import { runPgtap } from "../../scripts/testing/pgtap.ts";
import { startHostedCluster } from "../../scripts/testing/prepared_clusters.ts";
import { installPgtap } from "../../scripts/testing/pgtap_extension.ts";
import { push } from "../../scripts/testing/push.ts";
import { filesBelow } from "../../scripts/testing/selection.ts";
import { initProject, type InstalledCommand, type Outcome, run, snapshot } from "../cli/support.ts";

/** The claims of a token, or of the publishable key. */
export type Claims = { role: "anon" } | {
  role: "authenticated";
  sub: string;
  session_id: string;
  aal: "aal1";
};

/** All that an application has: its schema and roles, its rows, its files. */
export interface State {
  /** Of Postgres 15 alone: the embedded server comes without pg_dump. */
  schema: string | null;
  rows: Record<string, string>;
  files: Record<string, string>;
}

/** An application, or an empty project, with a hosted-like database. */
export class Adopter {
  #connections = new Map<string, Sql>();

  private constructor(
    readonly folder: string,
    readonly major: 15 | 17,
    readonly database: ScratchCluster,
    readonly command: InstalledCommand,
  ) {}

  /** Copies an application, or makes an empty project for null, and starts a database for it. */
  static async start(
    name: string | null,
    major: 15 | 17,
    command: InstalledCommand,
  ): Promise<Adopter> {
    const folder = await Deno.makeTempDir({ dir: command.folder });
    if (name === null) await initProject(folder);
    else await expectSuccess(run("cp", ["-r", folderOf(name, "supabase"), folder], root));
    return new Adopter(folder, major, await startHosted(major), command);
  }

  /** The same project with another database, where nothing is pushed yet. */
  async beside(): Promise<Adopter> {
    return new Adopter(this.folder, this.major, await startHosted(this.major), this.command);
  }

  /** The files of its declared schema, as schema_paths of its config.toml orders them. */
  async declared(): Promise<string[]> {
    const config = await Deno.readTextFile(join(this.folder, "supabase", "config.toml"));
    const patterns = /schema_paths = (\[.*\])/.exec(config)?.[1] ?? "[]";
    const files = Object.entries(await snapshot(join(this.folder, "supabase"))).sort();
    return (JSON.parse(patterns) as string[]).flatMap((pattern) =>
      files.filter(([path]) => matchesGlob(path, pattern.slice(2))).map(([, text]) => text)
    );
  }

  /** A connection with a role's login. */
  sql(role = "postgres"): Sql {
    const made = this.#connections.get(role) ?? connect(this.url(role));
    this.#connections.set(role, made);
    return made;
  }

  url(role = "postgres"): string {
    return this.database.cluster.url(role, this.database.password);
  }

  /** `supabase db push`, as postgres, who is no superuser. */
  push(...args: string[]): Promise<{ success: boolean; output: string }> {
    return runCli(["db", "push", "--yes", ...args], { ...this.database, project: this.folder });
  }

  async pushAll(...args: string[]): Promise<void> {
    const { success, output } = await this.push(...args);
    assert.ok(success, output);
  }

  /** Another command of the Supabase CLI, on the database. */
  cli(...args: string[]): Promise<{ success: boolean; output: string; stdout: string }> {
    return runCli(args, { ...this.database, project: this.folder });
  }

  /** Applies what is pending without the CLI: faster, where it is not the subject. */
  apply(): Promise<void> {
    return push({ ...this.database, project: this.folder });
  }

  /** Adds a migration of the application's own, newer than all others. */
  async addMigration(name: string, sql: string): Promise<void> {
    const folder = join(this.folder, "supabase", "migrations");
    const newest = [...Deno.readDirSync(folder)].map((entry) => entry.name).sort().at(-1) ?? "0_";
    const version = BigInt(newest.split("_")[0] ?? "0") + 1n;
    await Deno.writeTextFile(join(folder, `${version}_${name}.sql`), sql);
  }

  /** Runs `bulwark` in the project. */
  bulwark(...args: string[]): Promise<Outcome> {
    return this.command.run(this.folder, ...args);
  }

  /** Writes a file of the project. */
  async write(path: string, text: string): Promise<void> {
    await Deno.mkdir(dirname(join(this.folder, path)), { recursive: true });
    await Deno.writeTextFile(join(this.folder, path), text);
  }

  async edit(path: string, change: (text: string) => string): Promise<void> {
    const text = await Deno.readTextFile(join(this.folder, path));
    await Deno.writeTextFile(join(this.folder, path), change(text));
  }

  /** `bulwark init` with some capabilities. */
  async init(capabilities: string): Promise<void> {
    await expectSuccess(
      this.bulwark("init", "--with", capabilities, "--yes", "--db", this.url()),
    );
  }

  /** `bulwark doctor` has no error and no warning. */
  async doctorIsClean(): Promise<void> {
    await expectSuccess(this.bulwark("doctor", "--db", this.url()));
  }

  /** `bulwark uninstall`, pushed. */
  async uninstall(...args: string[]): Promise<void> {
    await expectSuccess(this.bulwark("uninstall", "--yes", "--db", this.url(), ...args));
    await this.pushAll();
  }

  /** Runs the pgTAP files of the project, all of which pass. Returns how many tests there were. */
  async passesItsTests(): Promise<number> {
    let passed = 0;
    const tests = relative(root, join(this.folder, "supabase", "tests"));
    for (const path of await filesBelow(tests, ".test.sql")) {
      const result = await runPgtap(path, this.url());
      assert.deepEqual(result.failures, [], path);
      passed += result.passed;
    }
    return passed;
  }

  async state(): Promise<State> {
    const [schema, rows, files] = await Promise.all([
      this.#schema(),
      this.#rows(),
      snapshot(this.folder),
    ]);
    return { schema, rows, files };
  }

  async #schema(): Promise<string | null> {
    if (this.major !== 15) return null;
    const { cluster, password } = this.database;
    const login = ["--host=127.0.0.1", `--port=${cluster.port}`, "--username=supabase_admin"];
    const dump = (program: string, ...args: string[]) => {
      const path = join(debianPostgres()?.bin ?? "", program);
      return expectSuccess(run(path, [...login, ...args], root, { PGPASSWORD: password }));
    };
    const roles = dump("pg_dumpall", "--roles-only", "--no-role-passwords");
    const printed = await dump("pg_dump", "--schema-only", "postgres") + await roles;
    // Another token in each dump, against what a hostile server might slip in.
    return printed.replace(/^\\(un)?restrict .*$/gm, "");
  }

  /** Every row of the application, of its accounts, files and secrets. */
  async #rows(): Promise<Record<string, string>> {
    const tables = await this.sql("supabase_admin")<{ name: string; rows: string }[]>`
      select c.oid::regclass::text as name, query_to_xml(
        format('select * from %s t order by t::text', c.oid::regclass), true, false, ''
      )::text as rows
      from pg_class c
      where c.relkind = 'r' and c.relnamespace::regnamespace::text
        in ('public', 'private', 'auth', 'storage', 'vault')
      order by 1
    `;
    return Object.fromEntries(tables.map(({ name, rows }) => [name, rows]));
  }

  /** Signs an account in as Supabase Auth does; returns the claims of its tokens. */
  async signIn(user: string): Promise<Claims> {
    const session = crypto.randomUUID();
    await this.sql("supabase_auth_admin")`
      insert into auth.sessions (id, user_id, created_at, updated_at, aal)
      values (${session}, ${user}, now(), now(), 'aal1')
    `;
    return { sub: user, role: "authenticated", session_id: session, aal: "aal1" };
  }

  /** The pre-request hook that PostgREST reads from the settings of its role. */
  async requestHook(): Promise<string | null> {
    const [row] = await this.sql("authenticator")`
      select substring(setting from '=(.*)$') as hook
      from pg_db_role_setting s cross join unnest(s.setconfig) as setting
      where s.setrole = 'authenticator'::regrole and setting like 'pgrst.db\\_pre\\_request=_%'
    `;
    return row?.["hook"] ?? null;
  }

  /** One request as PostgREST makes it: role, claims and headers, then the pre-request hook. */
  async request<T>(claims: Claims, work: (sql: Sql) => Promise<T>): Promise<T> {
    const hook = await this.requestHook();
    const result = await this.sql("authenticator").begin(async (transaction) => {
      await transaction`
        select set_config('role', ${claims.role}, true),
          set_config('request.jwt.claims', ${JSON.stringify(claims)}, true),
          set_config('request.method', 'POST', true), set_config('request.path', '/', true),
          set_config('request.headers', '{}', true)
      `;
      if (hook) await transaction.unsafe(`select ${hook}()`);
      return await work(transaction as unknown as Sql);
    });
    return result as T;
  }

  async stop(): Promise<void> {
    for (const sql of this.#connections.values()) await sql.end({ timeout: 1 });
    await this.database.stop();
  }
}

/** Runs a task with an application, pushed and filled, on a database of its own. */
export async function withAdopter(
  command: InstalledCommand,
  name: string | null,
  major: 15 | 17,
  task: (adopter: Adopter) => Promise<void>,
): Promise<void> {
  const adopter = await Adopter.start(name, major, command);
  try {
    await adopter.pushAll("--include-seed");
    await task(adopter);
  } finally {
    await adopter.stop();
  }
}

/** A file of an application. */
export function folderOf(name: string, ...path: string[]): string {
  return inRepository("tests", "adopters", name, ...path);
}

/** The SQL by which the Supabase CLI would make the second database of the first. */
export async function difference(
  from: Adopter,
  to: Adopter,
  ...more: string[]
): Promise<string> {
  const [a, b] = [from, to].map((adopter) => `${adopter.url()}?sslmode=disable`);
  const options = ["db", "diff", `--from=${a}`, `--to=${b}`, "--agent", "no", ...more];
  const printed = await expectSuccess(run(supabaseCli(), options, from.folder));
  // It also says what its engine does not compare: privileges on server settings.
  const notes = /^(│.*|▲ .*|● .*|)$/;
  return printed.split("\n").filter((line) => !notes.test(line)).join("\n");
}

/** A cluster with what hosted projects have, and with pg_cron on Postgres 15. */
async function startHosted(major: 15 | 17): Promise<ScratchCluster> {
  const installation = major === 17 ? embeddedPostgres() : debianPostgres();
  assert.ok(installation);
  await installPgtap(installation);
  const cron = {
    shared_preload_libraries: "pg_stat_statements,pg_cron",
    "cron.use_background_workers": "on",
  };
  const started = await startHostedCluster("adopter", installation, major === 15 ? cron : {});
  const admin = connect(started.cluster.url("supabase_admin", started.password));
  try {
    await admin`create extension pgtap with schema extensions`;
    await admin.unsafe(await Deno.readTextFile(inRepository("tests/adopters/platform.sql")));
    if (major === 15) {
      await admin`create extension pg_cron with schema pg_catalog`;
      await admin`grant usage on schema cron to postgres with grant option`;
      await admin`grant all on all tables in schema cron to postgres with grant option`;
    }
    return started;
  } catch (thrown) {
    await started.stop();
    throw thrown;
  } finally {
    await admin.end();
  }
}

async function expectSuccess(outcome: Promise<Outcome>): Promise<string> {
  const { code, stdout, stderr } = await outcome;
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}
