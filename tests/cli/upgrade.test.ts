/** `bulwark upgrade`, and files that the user edited. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { startDatabase } from "./database.ts";
import { initProject, installCommand, snapshot } from "./support.ts";

const command = await installCommand();
globalThis.addEventListener("unload", () => Deno.removeSync(command.folder, { recursive: true }));

const edited = "supabase/functions/_bulwark/foundation/timeout.ts";
const touched = "supabase/functions/bulwark-rbac/index.ts";
const gone = "supabase/functions/_bulwark/audit/csv.ts";

/** A later version: a release migration, a changed file, a new one, and one that is gone. */
const later = await command.asVersion("90.1.0", async (folder) => {
  const releases = join(folder, "supabase/releases");
  for (const version of ["90.0.0", "90.1.0", "91.0.0"]) {
    await Deno.mkdir(join(releases, version), { recursive: true });
    await Deno.writeTextFile(join(releases, version, "01_rbac.sql"), `-- rbac ${version}\n`);
    await Deno.writeTextFile(join(releases, version, "10_webhooks.sql"), "-- webhooks\n");
  }
  const change = async (path: string, edit: (text: string) => string) => {
    await Deno.writeTextFile(join(folder, path), edit(await Deno.readTextFile(join(folder, path))));
  };
  await change(edited, (text) => `${text}\n// Of the new version.\n`);
  await change(touched, (text) => `${text}\n// Of the new version.\n`);
  await Deno.remove(join(folder, gone));
  await Deno.writeTextFile(join(folder, "supabase/functions/_bulwark/audit/new.ts"), "// New\n");
});

async function newProject(name: string): Promise<string> {
  const project = join(command.folder, name);
  await initProject(project);
  const { code, stderr } = await command.run(project, "init", "--with", "none", "--yes");
  assert.equal(code, 0, stderr);
  return project;
}

const read = (project: string, path: string) => Deno.readTextFile(join(project, path));

Deno.test("CLI-20: an upgrade writes new migrations and the functions of its version", async () => {
  const project = await newProject("plain");
  const before = await snapshot(project);
  const other = await later.run(project, "init", "--yes");
  assert.match(other.stderr, /run bulwark upgrade first \(CLI_OTHER_VERSION\)/);
  const dry = await later.run(project, "upgrade", "--dry-run");
  assert.equal(dry.code, 0, dry.stderr);
  assert.deepEqual(await snapshot(project), before);

  const { code, stderr } = await later.run(project, "upgrade", "--yes");
  assert.equal(code, 0, stderr);
  const after = await snapshot(project);
  const made = Object.keys(after).filter((path) => !(path in before)).sort();
  assert.deepEqual(made.map((path) => path.replace(/\d{14}_/, "")), [
    "supabase/functions/_bulwark/audit/new.ts",
    "supabase/migrations/bulwark_upgrade_90_0_0.sql",
    "supabase/migrations/bulwark_upgrade_90_1_0.sql",
  ]);
  assert.match(after[made[1] ?? ""] ?? "", /-- rbac 90\.0\.0/);
  assert.doesNotMatch(after[made[1] ?? ""] ?? "", /webhooks/, "which is not installed");
  assert.match(after[touched] ?? "", /Of the new version/);
  assert.equal(after[gone], undefined);
  for (const path of Object.keys(before).filter((path) => path.endsWith(".sql"))) {
    assert.equal(after[path], before[path], "migrations never change");
  }
  assert.equal((await later.run(project, "upgrade", "--yes")).code, 0);
  assert.deepEqual(await snapshot(project), after);
  for (const args of [["upgrade"], ["init"], ["add", "mfa"]]) {
    const older = await command.run(project, ...args, "--yes");
    assert.match(older.stderr, /install the newer package \(CLI_OTHER_VERSION\)/);
  }
  assert.deepEqual(await snapshot(project), after);
});

Deno.test("CLI-21: edits are merged, and the difference is shown", async () => {
  const project = await newProject("merged");
  const text = `// Mine.\n${await read(project, edited)}`;
  await Deno.writeTextFile(join(project, edited), text);
  await command.run(project, "init", "--yes");
  assert.equal(await read(project, edited), text, "the same version leaves it alone");
  const { code, stdout } = await later.run(project, "upgrade", "--yes");
  assert.equal(code, 0);
  assert.match(stdout, /^\+\/\/ Of the new version\.$/m);
  assert.equal(await read(project, edited), `${text}\n// Of the new version.\n`);
});

Deno.test("CLI-22: a conflict is written beside the file, which stays", async () => {
  for (const base of [true, false]) {
    const project = await newProject(`conflict_${base}`);
    const text = `${await read(project, edited)}\n// Mine at the same place.\n`;
    await Deno.writeTextFile(join(project, edited), text);
    if (!base) await Deno.remove(join(project, "supabase/bulwark.base.gz"));
    const { code, stdout } = await later.run(project, "upgrade", "--yes");
    assert.equal(code, 1);
    assert.equal(await read(project, edited), text);
    const beside = await read(project, `${edited}.bulwark-90.1.0`);
    assert.ok(stdout.includes(`compare it with ${edited}.bulwark-90.1.0`));
    assert.match(beside, base ? /<<<<<<< yours[\s\S]*>>>>>>> Bulwark 90\.1\.0/ : /Of the new/);
  }
});

Deno.test("CLI-23: a run that was cut off is completed by the next one", async () => {
  const project = join(command.folder, "cut");
  await initProject(project);
  // Files of more than some kilobytes cannot be written, as on a full disk.
  for (const [limit, version] of [[60, command.program], [200, command.program]] as const) {
    const args = ["-c", `ulimit -f ${limit}; exec "$0" init --with none --yes`, version];
    const cut = await new Deno.Command("sh", { args, cwd: project, stdout: "null" }).output();
    assert.equal(cut.success, false);
  }
  const { code, stderr } = await command.run(project, "init", "--yes");
  assert.equal(code, 0, stderr);
  const whole = await snapshot(await newProject("whole"));
  const cut = await snapshot(project);
  const names = (files: Record<string, string>) =>
    Object.keys(files).map((path) => path.replace(/\d{14}/, "")).sort();
  assert.deepEqual(names(cut), names(whole));
  for (
    const [path, text] of Object.entries(cut).filter(([path]) => path.includes("/functions/_"))
  ) {
    assert.equal(text, whole[path]);
  }
  const again = await command.run(project, "init", "--yes");
  assert.match(again.stdout, /Nothing to write/);

  const upgrade = [
    "-c",
    'ulimit -f 60; exec "$0" upgrade --yes',
    join(command.folder, "version-90.1.0/node_modules/bulwark/dist/cli/bulwark.js"),
  ];
  const cutUpgrade = await new Deno.Command("sh", { args: upgrade, cwd: project, stdout: "null" })
    .output();
  assert.equal(cutUpgrade.success, false);
  assert.equal((await later.run(project, "upgrade", "--yes")).code, 0);
  const upgraded = await snapshot(project);
  assert.match(upgraded[touched] ?? "", /Of the new version/);
  assert.equal(Object.keys(upgraded).filter((path) => path.includes("_upgrade_")).length, 2);
});

Deno.test("CLI-24: Ctrl-C while files are written leaves all of them", async () => {
  const project = join(command.folder, "signalled");
  await initProject(project);
  const before = await snapshot(project);
  const args = ["init", "--with", "all", "--yes"];
  const child = new Deno.Command(command.program, { args, cwd: project, stdout: "piped" }).spawn();
  // The plan is printed right before the first file is written.
  const reader = child.stdout.getReader();
  await reader.read();
  child.kill("SIGINT");
  while (!(await reader.read()).done);
  await child.status;
  const after = await snapshot(project);
  if (Object.keys(after).length > Object.keys(before).length) {
    assert.ok("supabase/bulwark.base.gz" in after);
    assert.match((await command.run(project, "init", "--yes")).stdout, /Nothing to write/);
  } else {
    assert.deepEqual(after, before);
  }
});

Deno.test("CLI-25: a file of the project where the new version has one is a clash", async () => {
  const project = await newProject("in_the_way");
  const path = "supabase/functions/_bulwark/audit/new.ts";
  await Deno.writeTextFile(join(project, path), "// Mine\n");
  const before = await snapshot(project);
  const { code, stderr } = await later.run(project, "upgrade", "--yes");
  assert.equal(code, 1);
  assert.ok(stderr.includes(`${path}: exists and is not Bulwark's`));
  assert.deepEqual(await snapshot(project), before);
});

Deno.test("CLI-26: a pushed upgrade is what the database says it has", async () => {
  const project = await newProject("pushed");
  const database = await startDatabase(embeddedPostgres());
  try {
    await database.apply(project);
    const { code, stderr } = await later.run(project, "upgrade", "--yes", "--db", database.url);
    assert.equal(code, 0, stderr);
    await database.apply(project);
    const [installed] = await database.sql`select bulwark.version() as version`;
    assert.equal(installed?.version, "90.1.0");
    assert.equal((await later.run(project, "add", "metrics", "--yes")).code, 0);
    await database.apply(project);
    const capabilities = await database.sql`select * from bulwark.installed_capabilities()`;
    assert.ok(JSON.stringify(capabilities).includes("metrics"));
  } finally {
    await database.stop();
  }
});

Deno.test("CLI-27: an edited migration stays, and each run says that databases lack the edit", async () => {
  const project = await newProject("edited_migration");
  const name = Object.keys(await snapshot(project)).find((path) => path.endsWith("_rbac.sql")) ??
    "";
  await Deno.writeTextFile(join(project, name), "-- mine\n", { append: true });
  const text = await read(project, name);
  const runs = [await command.run(project, "init"), await later.run(project, "upgrade", "--yes")];
  for (const { code, stdout } of runs) {
    assert.equal(code, 0);
    assert.ok(stdout.includes(`${name} is edited: a database that has it`), stdout);
  }
  assert.equal(await read(project, name), text);
});
