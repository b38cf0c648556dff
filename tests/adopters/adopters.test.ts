/**
 * Bulwark from its tarball, in applications that know nothing of it and in an empty project: what
 * they have works before, with it, and after it is gone.
 */
import assert from "node:assert/strict";
import { debianPostgres } from "../../scripts/stack/binaries.ts";
import { installCommand } from "../cli/support.ts";
import { type Application, applications } from "./applications.ts";
import { Adopter, type Claims, folderOf } from "./support.ts";

const command = await installCommand();
globalThis.addEventListener("unload", () => Deno.removeSync(command.folder, { recursive: true }));

/** Runs a task with an application, pushed and filled, on a database of its own. */
async function withAdopter(
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

/** Whom the guarded table answers, and how fast that follows the members of the application. */
async function answersByTheirMembers(adopter: Adopter, application: Application): Promise<void> {
  const { table, tenant, change, ours, theirs } = application;
  const [writer, reader, stranger] = await Promise.all(
    [application.writer, application.reader, application.stranger].map((id) => adopter.signIn(id)),
  );
  assert.ok(writer && reader && stranger);
  const seenBy = (claims: Claims) =>
    adopter.request(claims, async (sql) => {
      const rows = await sql.unsafe(`select distinct ${tenant} as tenant from ${table} order by 1`);
      return rows.map((row) => row["tenant"]);
    });
  const changedBy = (claims: Claims) =>
    adopter.request(claims, async (sql) => (await sql.unsafe(change)).count);

  assert.deepEqual(await seenBy(reader), [ours]);
  assert.deepEqual(await seenBy(stranger), [theirs]);
  assert.deepEqual(await seenBy({ role: "anon" }), []);
  assert.equal(await changedBy(reader), 0, "a reader changes nothing");
  assert.equal(await changedBy(writer), 1, "a writer changes what is of the organization");

  const owner = adopter.sql();
  await owner.unsafe(application.leave);
  assert.deepEqual(
    await seenBy(reader),
    [],
    "who has left sees nothing, with the token from before",
  );
  await owner.unsafe(application.join);
  assert.deepEqual(await seenBy(reader), [ours], "who is back sees it again");

  const entries = await owner`
    select actor_id, organization_id = bulwark.organization_id(${ours}) as in_ours
    from bulwark.audit_logs where resource_type = ${table}
  `;
  assert.deepEqual(entries.map((entry) => ({ ...entry })), [
    { actor_id: application.writer, in_ours: true },
  ], "the audit log says who changed what of whom");
}

for (const application of applications.filter(({ name }) => name === "uuid_tenants")) {
  for (const major of [15, 17] as const) {
    Deno.test({
      name: `ADP-01: ${application.name} on Postgres ${major}: installed, guarded and removed`,
      ignore: major === 15 && debianPostgres() === null,
      fn: () => withAdopter(application.name, major, (adopter) => journey(adopter, application)),
    });
  }
}

async function journey(adopter: Adopter, application: Application): Promise<void> {
  const theirs = await adopter.passesItsTests();
  assert.ok(theirs > 0);
  const before = await adopter.state();

  await adopter.init("all");
  const { files } = await adopter.state();
  for (const [path, text] of Object.entries(before.files)) {
    if (path !== "supabase/config.toml") assert.equal(files[path], text, path);
  }
  await adopter.pushAll();
  assert.equal(await adopter.passesItsTests(), theirs);
  assert.equal(await adopter.passesItsTests(), theirs);
  await adopter.init("all");
  assert.deepEqual((await adopter.state()).files, files, "a second init changes nothing");

  assert.deepEqual((await adopter.state()).rows, before.rows);

  await adopter.migrate("guard", await Deno.readTextFile(folderOf(application.name, "guard.sql")));
  await application.configure?.(adopter);
  await answersByTheirMembers(adopter, application);
  await application.alsoHolds?.(adopter);
  await adopter.passesItsTests();

  const present = await adopter.state();
  const refused = await adopter.bulwark("uninstall", "--yes", "--db", adopter.url());
  assert.equal(refused.code, 1);
  for (const name of application.policies) assert.ok(refused.stderr.includes(name), refused.stderr);
  assert.deepEqual(
    await adopter.state(),
    present,
    "it names what would go, and nothing is written",
  );
  await application.unconfigure?.(adopter);
  await adopter.uninstall("--with-audit-data", "--with-dependents");
  const after = await adopter.state();
  assert.equal(after.schema, before.schema);
  assert.deepEqual(after.rows, present.rows);
  assert.equal(after.files["supabase/config.toml"], before.files["supabase/config.toml"]);
  assert.equal(await adopter.passesItsTests(), theirs);
}

Deno.test("ADP-02: an empty project", () =>
  withAdopter(null, 17, async (adopter) => {
    const before = await adopter.state();
    await adopter.init("none");
    await adopter.pushAll();
    await adopter.passesItsTests();
    await adopter.passesItsTests();
    await adopter.uninstall();
    assert.equal(
      (await adopter.state()).files["supabase/config.toml"],
      before.files["supabase/config.toml"],
    );
  }));

Deno.test("ADP-03: a push whose connection ends in the middle is completed by the next one", () =>
  withAdopter("own_hooks", 17, async (adopter) => {
    await adopter.init("all");
    const admin = adopter.sql("supabase_admin");
    const interrupted = admin`
      do $$ begin
        while (
          select count(*) < 5 from supabase_migrations.schema_migrations where name ~ '^bulwark_'
        ) loop
          perform pg_sleep(0.005);
        end loop;
        perform pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres';
      end $$
    `.execute();
    const { success } = await adopter.push();
    await interrupted;
    assert.equal(success, false);
    const ours = () =>
      admin`
      select 1 from supabase_migrations.schema_migrations where name ~ '^bulwark_'
    `;
    const half = (await ours()).length;
    assert.ok(half >= 5);
    // Sign-ups, hooks and requests of the application go on meanwhile.
    await adopter.passesItsTests();
    await adopter.pushAll();
    assert.ok((await ours()).length > half);
    await adopter.passesItsTests();
  }));

Deno.test("ADP-04: what is in the way is named, all of it, and nothing is written", () =>
  withAdopter("uuid_tenants", 17, async (adopter) => {
    await adopter.write("supabase/functions/bulwark-rbac/index.ts", "// theirs");
    await adopter.write("supabase/migrations/20260101000000_later.sql", "create schema bulwark;");
    await adopter.sql("supabase_admin")`create role api_key login`;
    const before = await adopter.state();
    const { code, stderr } = await adopter.bulwark(
      ...["init", "--with", "all", "--yes", "--db", adopter.url()],
    );
    assert.equal(code, 1);
    for (
      const clash of [
        "supabase/functions/bulwark-rbac: exists",
        "supabase/migrations/20260101000000_later.sql: creates schema bulwark",
        "the database: role api_key exists and has rights of its own",
      ]
    ) assert.ok(stderr.includes(clash), stderr);
    assert.deepEqual(await adopter.state(), before);
  }));
