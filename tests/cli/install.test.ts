/** `bulwark init` from the packed tarball, in an empty project of the Supabase CLI. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { migrate } from "../../scripts/stack/migrate.ts";
import { startScratchCluster } from "../../scripts/stack/scratch_cluster.ts";
import { initProject, installCommand, snapshot } from "./support.ts";

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
    /^(dist\/(cli|scripts\/building)\/|cli\/sql\/|supabase\/(migrations|functions)\/|clients\/)/;
  const others = files.filter((path) => !allowed.test(path));
  assert.deepEqual(others, ["LICENSE", "README.md", "package.json"]);
  assert.ok(files.includes("dist/cli/bulwark.js"));
  assert.deepEqual(files.filter((path) => /test|bench|fixture|\.env/.test(path)), []);
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
  assert.match(which.stderr, /^bulwark: Say which capabilities: .* \(CLI_USAGE\)\n$/);
  const unasked = await command.run(project, "init", "--with", "none");
  assert.equal(unasked.code, 1);
  assert.match(unasked.stderr, /^bulwark: .* \(CLI_NOT_CONFIRMED\)\n$/);
  assert.deepEqual(await snapshot(project), before);
});

Deno.test("CLI-05: the real CLI pushes it as postgres, and each addition after it", async () => {
  const project = await newProject("pushed");
  const { cluster, password, stop } = await startScratchCluster("cli", embeddedPostgres());
  const sql = connect(cluster.url("postgres", password));
  try {
    await Deno.mkdir(join(project, "supabase/migrations"), { recursive: true });
    const theirs = join(project, "supabase/migrations/29990101000000_theirs.sql");
    await Deno.writeTextFile(theirs, "create table public.notes (id uuid primary key);");
    assert.equal((await command.run(project, "init", "--with", "none", "--yes")).code, 0);
    await migrate({ cluster, password, project });
    const added = await command.run(project, "add", "rate-limits", "webhooks", "--yes");
    assert.equal(added.code, 0, added.stderr);
    await migrate({ cluster, password, project });
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
    await sql.end();
    await stop();
  }
});
