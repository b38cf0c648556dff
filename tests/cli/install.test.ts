/** `bulwark init` from the packed tarball, in an empty project of the Supabase CLI. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { startDatabase } from "./database.ts";
import { answering, initProject, installCommand, snapshot } from "./support.ts";

const command = await installCommand();
globalThis.addEventListener("unload", () => Deno.removeSync(command.folder, { recursive: true }));

const newProject = async (name: string) => {
  const project = join(command.folder, name);
  await initProject(project);
  return project;
};

Deno.test("CLI-01: the package holds what adopters need, and nothing of ours beside", async () => {
  const files = Object.keys(await snapshot(command.package)).sort();
  const allowed =
    /^(dist\/(cli|scripts\/building)\/|cli\/sql\/|supabase\/(migrations|releases|functions)\/)/;
  const theirTest = "supabase/tests/bulwark_installed.test.sql";
  const others = files.filter((path) => !allowed.test(path) && path !== theirTest);
  assert.ok(files.includes(theirTest));
  assert.deepEqual(others, ["LICENSE", "README.md", "package.json"]);
  assert.ok(files.includes("dist/cli/bulwark.js"));
  assert.deepEqual(files.filter((path) => /test|bench|fixture|\.env/.test(path)), [theirTest]);
  const manifest = JSON.parse(await Deno.readTextFile(join(command.package, "package.json")));
  assert.equal(manifest.private, undefined);
  for (const version of Object.values(manifest.dependencies)) assert.match(`${version}`, /^\d/);
});

Deno.test("CLI-02: --dry-run writes nothing, --yes writes it, a second run finds nothing", async () => {
  const project = await newProject("twice");
  const before = await snapshot(project);
  const dry = await command.run(project, "init", "--with", "mfa", "--dry-run");
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, /create {2}supabase\/migrations\/\d{14}_bulwark_foundation\.sql/);
  assert.match(dry.stdout, /encryption comes along: mfa needs it/);
  assert.deepEqual(await snapshot(project), before);

  const first = await command.run(project, "init", "--with", "mfa", "--yes");
  assert.equal(first.code, 0, first.stderr);
  const after = await snapshot(project);
  assert.equal((await command.run(project, "init", "--with", "mfa", "--yes")).code, 0);
  assert.equal((await command.run(project, "init", "--yes")).code, 0);
  assert.deepEqual(await snapshot(project), after);
});

Deno.test("CLI-03: secrets are for their owner alone, and git does not see them", async () => {
  const project = await newProject("secrets");
  await command.run(project, "init", "--with", "none", "--yes");
  const { mode } = await Deno.stat(join(project, "supabase/functions/.env"));
  assert.equal((mode ?? 0) & 0o777, 0o600);
  const ignored = await Deno.readTextFile(join(project, "supabase/.gitignore"));
  assert.match(ignored, /^functions\/\.env$/m);
});

Deno.test("CLI-04: without a terminal a question is a refusal in one line", async () => {
  const project = await newProject("questions");
  const before = await snapshot(project);
  const which = await command.run(project, "init");
  assert.deepEqual([which.code, which.stdout], [2, ""]);
  assert.match(
    which.stderr,
    /^bulwark: Say which capabilities, as nobody is asked: .* \(CLI_USAGE\)\n$/,
  );
  const unasked = await command.run(project, "init", "--with", "none");
  assert.equal(unasked.code, 1);
  assert.match(unasked.stderr, /^bulwark: .* \(CLI_NOT_CONFIRMED\)\n$/);
  assert.deepEqual(await snapshot(project), before);
});

Deno.test("CLI-05: the real CLI pushes it as postgres, and each addition after it", async () => {
  const project = await newProject("pushed");
  const database = await startDatabase(embeddedPostgres());
  const { sql, push } = database;
  try {
    await Deno.mkdir(join(project, "supabase/migrations"), { recursive: true });
    const theirs = join(project, "supabase/migrations/29990101000000_theirs.sql");
    await Deno.writeTextFile(theirs, "create table public.notes (id uuid primary key);");
    assert.equal((await command.run(project, "init", "--with", "none", "--yes")).code, 0);
    await push(project);
    const added = await command.run(project, "add", "rate-limits", "webhooks", "--yes");
    assert.equal(added.code, 0, added.stderr);
    await push(project);
    const versions = (await sql`
      select version, name from supabase_migrations.schema_migrations order by version
    `).map(({ version, name }) => `${version} ${name}`);
    assert.equal(versions[0], "29990101000000 theirs");
    assert.equal(new Set(versions.map((line) => line.slice(0, 14))).size, versions.length);
    assert.match(versions.at(-1) ?? "", /bulwark_start$/);
    const [there] = await sql`
      select to_regclass('bulwark.webhook_endpoints') is not null as webhooks,
             to_regclass('bulwark.api_keys') is null as keys
    `;
    assert.deepEqual({ ...there }, { webhooks: true, keys: true });
  } finally {
    await database.stop();
  }
});

Deno.test("CLI-06: clashes of files and of the database are named, and nothing is written", async () => {
  const project = await newProject("clashes");
  const database = await startDatabase(embeddedPostgres());
  try {
    await database.admin`create schema bulwark_private`;
    await database.sql`create role api_key login`;
    await Deno.mkdir(join(project, "supabase/functions/bulwark-rbac"), { recursive: true });
    await Deno.writeTextFile(join(project, "supabase/functions/bulwark-rbac/index.ts"), "theirs");
    const before = await snapshot(project);
    const args = ["init", "--with", "none", "--db", database.url];
    for (const way of ["--yes", "--dry-run"]) {
      const { code, stdout, stderr } = await command.run(project, ...args, way);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /CLI_CLASHES/);
      assert.match(stderr, /supabase\/functions\/bulwark-rbac: exists and is not Bulwark's/);
      assert.match(stderr, /the database: schema bulwark_private exists/);
      assert.match(stderr, /the database: role api_key exists and has rights of its own/);
      assert.ok(!stderr.includes(database.password));
    }
    assert.deepEqual(await snapshot(project), before);
    const [made] = await database.sql`select to_regnamespace('bulwark') is null as none`;
    assert.equal(made?.none, true);
  } finally {
    await database.stop();
  }
});

Deno.test("CLI-07: a push that fails in the middle is completed by the next one", async () => {
  const project = await newProject("middle");
  const database = await startDatabase(embeddedPostgres());
  const { admin, sql } = database;
  try {
    await command.run(project, "init", "--with", "none", "--yes");
    await admin.unsafe(`
      create function public.interrupt() returns event_trigger language plpgsql as $$
      begin
        if to_regclass('bulwark.audit_logs') is not null then
          raise exception 'The line was cut';
        end if;
      end $$;
      create event trigger interrupt on ddl_command_end execute function public.interrupt();
    `);
    await assert.rejects(database.push(project), /The line was cut/);
    const [half] = await sql`
      select to_regclass('bulwark.roles') is not null as rbac,
             to_regclass('bulwark.audit_logs') is null as no_audit
    `;
    assert.deepEqual({ ...half }, { rbac: true, no_audit: true });
    await admin`drop event trigger interrupt`;
    const again = await command.run(project, "init", "--yes", "--db", database.url);
    assert.match(again.stdout, /Nothing to write/);
    await database.push(project);
    const [whole] = await sql`select to_regproc('bulwark.seal_audit_log') is not null as there`;
    assert.equal(whole?.there, true);
  } finally {
    await database.stop();
  }
});

Deno.test("CLI-08: no option, value or address makes it print a stack trace", async () => {
  const project = await newProject("wrong");
  const address = "postgresql://postgres:hunter2@127.0.0.1:1/postgres";
  const cases: [string[], number, RegExp][] = [
    [["int"], 2, /There is no command int/],
    [["init", "--wiht", "x"], 2, /option --wiht/],
    [["init", address], 2, /Unexpected argument/],
    [["init", "--with", "rbac,magic"], 2, /Cannot install magic: .*; there are encryption, mfa/],
    [["init", "--with", "", "--yes"], 2, /Say which capabilities/],
    [["add"], 2, /CLI_USAGE/],
    [["add", "mfa"], 1, /CLI_NOT_INSTALLED/],
    [["init", "--with", "none", "--db", address], 1, /CLI_DATABASE_UNREACHABLE/],
    [["init", "--with", "none", "--db", "nonsense"], 2, /--db needs an address/],
    [["init", "--with", "none", "--db", ""], 2, /--db is empty/],
    [
      ["init", "--workdir", "/"],
      1,
      /name the project's folder with --workdir.* \(CLI_NOT_A_PROJECT\)/,
    ],
    [["init", "--workdir", "supabse"], 1, /Cannot find the folder .*supabse \(CLI_NOT_A_PROJECT\)/],
  ];
  for (const [args, code, message] of cases) {
    const outcome = await command.run(project, ...args);
    assert.equal(outcome.code, code, outcome.stderr);
    assert.match(outcome.stderr, message);
    assert.match(outcome.stderr, /^bulwark: .* \([A-Z_]+\)\n$/, "one line");
    assert.ok(!outcome.stderr.includes("hunter2"));
  }
  for (const name of ["init", "add", "upgrade", "uninstall"]) {
    const { code, stdout } = await command.run(project, name, "--help");
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^Usage: bulwark ${name}`));
  }
});

const withoutScript = await answering.isMissing();

Deno.test({
  name: "CLI-09: at a terminal it asks, and Ctrl-C at any question writes nothing (util-linux)",
  ignore: withoutScript,
  async fn() {
    const project = await newProject("asked");
    const before = await snapshot(project);
    const start = [command.program, "init"];
    const which = [/Which capabilities/, "\x03"] as const;
    assert.equal(await answering.run(project, start, [which]), 130);
    const core = [/Which capabilities/, "\r"] as const;
    assert.equal(await answering.run(project, start, [core, [/Write this/, "\x03"]]), 130);
    assert.equal(await answering.run(project, start, [core, [/Write this/, "n"]]), 130);
    // Terminals of containers often say that they have no size.
    assert.equal(await answering.run(project, start, [which], "cols 0 rows 0"), 130);
    assert.deepEqual(await snapshot(project), before);
    assert.equal(await answering.run(project, start, [core, [/Write this/, "y"]]), 0);
    assert.ok("supabase/bulwark.json" in await snapshot(project));
  },
});

Deno.test("CLI-10: a file that this user cannot read is named, and nothing is written", async () => {
  const project = await newProject("others");
  assert.equal((await command.run(project, "init", "--with", "none", "--yes")).code, 0);
  const env = join(project, "supabase/functions/.env");
  const before = await snapshot(project);
  const isRoot = Deno.uid() === 0;
  if (!isRoot) await Deno.chmod(env, 0);
  for (const args of [["init"], ["add", "mfa"], ["upgrade"], ["uninstall"]]) {
    const { code, stderr } = await new Deno.Command(command.program, {
      args: [...args, "--yes"],
      cwd: project,
      stderr: "piped",
      stdout: "null",
      ...isRoot ? { uid: 65534, gid: 65534 } : {},
    }).output();
    assert.equal(code, 1);
    const expected =
      /^bulwark: Cannot read supabase\/functions\/\.env: EACCES.* \(CLI_READ_FAILED\)\n$/;
    assert.match(new TextDecoder().decode(stderr), expected);
  }
  if (!isRoot) await Deno.chmod(env, 0o600);
  assert.deepEqual(await snapshot(project), before);
});
