/** `bulwark uninstall`: what is Bulwark's goes, and what is the project's stays as it was. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { newApplication, succeed as run } from "./application.ts";
import { installations, startDatabase } from "./database.ts";
import { installCommand, snapshot } from "./support.ts";

const command = await installCommand();
globalThis.addEventListener("unload", () => Deno.removeSync(command.folder, { recursive: true }));

const newProject = (name: string) => newApplication(command, name);
const succeed = (project: string, ...args: string[]) => run(command, project, ...args);

Deno.test("CLI-31: data, ciphertext and objects that depend on Bulwark stop it until they are named", async () => {
  const [installation] = installations;
  assert.ok(installation);
  const project = await newProject("refused");
  const database = await startDatabase(installation);
  const { sql } = database;
  try {
    await succeed(project, "init", "--with", "encryption", "--yes");
    await database.apply(project);
    await sql.unsafe(`
      select bulwark.enable_audit('public.notes', organization_column => 'organization_id');
      select bulwark.declare_encrypted_column('public.notes', 'secret', 'organization_id');
      create policy "Ours" on public.log for select to authenticated
        using (bulwark.has_permission('org:read'));
      create view public.names as select name from bulwark.organizations;
      create table public.rated (severity bulwark.audit_severity);
      create function public.may() returns boolean language plpgsql
        as $$ begin return bulwark.has_permission('org:read'); end $$;
      insert into public.teams (name) values ('A'), ('B');
      insert into public.notes (organization_id, secret) select id, 'bw1.a256gcm.'
        || repeat('a', 22) || '.' || repeat('b', 110) from public.teams;
    `);
    const backup = await snapshot(project);
    const attempt = async (...flags: string[]) => {
      await restore(project, backup);
      await succeed(project, "uninstall", "--yes", ...flags);
      const failure = await database.apply(project).then(
        () => null,
        (error: Error) => error.message,
      );
      const [there] = await sql`select to_regclass('bulwark.audit_logs') is not null as there`;
      assert.equal(there?.there, failure !== null);
      return failure;
    };
    assert.match(await attempt() ?? "", /the audit log has entries/);
    const listed = await attempt("--with-audit-data") ?? "";
    for (
      const name of [
        'policy "Ours" on public.log',
        "view public.names",
        "table column public.rated.severity",
        "function may()",
      ]
    ) assert.ok(listed.includes(name), `${name} in ${listed}`);
    assert.doesNotMatch(listed, /bulwark_audit|Readers|on_sign_up/);
    const told = ["--with-audit-data", "--with-dependents"];
    assert.match(
      await attempt(...told) ?? "",
      /notes\.secret has values that nobody could decrypt/,
    );

    await restore(project, backup);
    const shown = await command.run(project, "uninstall", "--yes", "--db", database.url);
    assert.equal(shown.code, 1);
    assert.match(shown.stderr, /view public\.names: depends on Bulwark/);
    assert.match(shown.stderr, /notes\.secret: holds encrypted values/);
    assert.match(shown.stderr, /its audit log has \d+ entries: add --with-audit-data/);
    assert.deepEqual(await snapshot(project), backup);
    const pushed = await command.run(
      project,
      "uninstall",
      "--never-pushed",
      "--yes",
      "--db",
      database.url,
    );
    assert.match(pushed.stderr, /CLI_WAS_PUSHED/);

    assert.equal(await attempt(...told, "--with-encrypted-data"), null);
    const [left] = await sql`select count(*)::int, count(secret)::int as secrets from public.notes`;
    assert.deepEqual({ ...left }, { count: 2, secrets: 2 });
  } finally {
    await database.stop();
  }
});

Deno.test("CLI-32: a project that was never pushed is as it was, without any migration", async () => {
  const project = await newProject("never");
  const before = await snapshot(project);
  await succeed(project, "init", "--with", "all", "--yes");
  await Deno.writeTextFile(
    join(project, "supabase/functions/bulwark-rbac/index.ts"),
    "// edited\n",
  );
  const shown = await succeed(project, "uninstall", "--never-pushed", "--yes");
  assert.match(shown, /bulwark-rbac\/index\.ts is edited; your changes go with it/);
  assert.deepEqual(await snapshot(project), before);
  const again = await command.run(project, "uninstall", "--yes");
  assert.match(again.stderr, /CLI_NOT_INSTALLED/);
});

Deno.test("CLI-33: an uninstallation that was cut off is completed by the next one", async () => {
  const project = await newProject("cut");
  const before = await snapshot(project);
  await succeed(project, "init", "--with", "none", "--yes");
  // The migration can be written, and config.toml, which is longer, cannot.
  const args = ["-c", 'ulimit -f 24; exec "$0" uninstall --yes', command.program];
  const cut = await new Deno.Command("sh", { args, cwd: project, stdout: "null" }).output();
  assert.equal(cut.success, false);
  assert.ok("supabase/bulwark.json" in await snapshot(project));
  await succeed(project, "uninstall", "--yes");
  const after = await snapshot(project);
  const left = Object.keys(after).filter((path) => !(path in before));
  assert.deepEqual(left.filter((path) => !/_bulwark_\w+\.sql$/.test(path)), []);
  assert.equal(left.filter((path) => path.endsWith("_bulwark_uninstall.sql")).length, 1);
  for (const path of Object.keys(before)) assert.equal(after[path], before[path], path);
});

Deno.test("CLI-34: a hook that names Bulwark, and is the project's, is pointed out", async () => {
  const project = await newProject("hooked");
  const config = join(project, "supabase/config.toml");
  const hook = "\n[auth.hook.custom_access_token]\nenabled = true\n" +
    'uri = "pg-functions://postgres/public/mine"\n';
  await Deno.writeTextFile(config, hook, { append: true });
  assert.match(await succeed(project, "init", "--with", "none", "--yes"), /'"public\.mine"'/);
  const text = await Deno.readTextFile(config);
  await Deno.writeTextFile(
    config,
    text.replace("/public/mine", "/bulwark/custom_access_token_hook"),
  );
  const shown = await succeed(project, "uninstall", "--yes");
  assert.match(shown, /\[auth\.hook\.custom_access_token\].* name your own again/);
  assert.match(await Deno.readTextFile(config), /custom_access_token_hook/);
});

/** Puts a project back as a snapshot has it. */
async function restore(project: string, files: Record<string, string>): Promise<void> {
  for (const path of Object.keys(await snapshot(project))) {
    if (!(path in files)) await Deno.remove(join(project, path));
  }
  for (const [path, text] of Object.entries(files)) {
    await Deno.mkdir(join(project, path, ".."), { recursive: true });
    await Deno.writeTextFile(join(project, path), text);
  }
}
