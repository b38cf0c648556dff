/**
 * Bulwark from its tarball, in applications that know nothing of it: what they have works before,
 * with it, and after it is gone.
 */
import assert from "node:assert/strict";
import { debianPostgres } from "../../scripts/stack/binaries.ts";
import { installCommand } from "../cli/support.ts";
import { type Application, applications } from "./applications.ts";
import { type Adopter, type Claims, folderOf, withAdopter } from "./support.ts";

const command = await installCommand();
globalThis.addEventListener("unload", () => Deno.removeSync(command.folder, { recursive: true }));

/** The guarded table answers the members of the application, and follows their changes at once. */
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

for (const application of applications) {
  // Hooks are what differs between versions of Postgres; the tests below run on 17.
  const majors = application.name === "own_hooks" ? [15, 17] as const : [15] as const;
  for (const major of majors) {
    Deno.test({
      name: `ADP-01: ${application.name} on Postgres ${major}: installed, guarded and removed`,
      ignore: major === 15 && debianPostgres() === null,
      fn: () =>
        withAdopter(command, application.name, major, (adopter) => journey(adopter, application)),
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
  assert.ok(await adopter.passesItsTests() > theirs, "ours passes beside theirs");
  await adopter.init("all");
  assert.deepEqual((await adopter.state()).files, files, "a second init changes nothing");

  assert.deepEqual((await adopter.state()).rows, before.rows);

  const guard = await Deno.readTextFile(folderOf(application.name, "guard.sql"));
  await adopter.addMigration("guard", guard);
  await adopter.apply();
  await application.configure?.(adopter);
  await answersByTheirMembers(adopter, application);
  await application.alsoHolds?.(adopter);
  assert.ok(await adopter.passesItsTests() > theirs, "and again, with what is guarded");
  await adopter.doctorIsClean();

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
