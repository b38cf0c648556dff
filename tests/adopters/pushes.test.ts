/** Installations that begin empty, stop in the middle, meet clashes, or are compared. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { currentDeno } from "../../scripts/stack/binaries.ts";
import { inRepository, root } from "../../scripts/stack/paths.ts";
import { installCommand, run } from "../cli/support.ts";
import { type Adopter, difference, folderOf, withAdopter } from "./support.ts";

const command = await installCommand();
globalThis.addEventListener("unload", () => Deno.removeSync(command.folder, { recursive: true }));

Deno.test("ADP-02: an empty project", () =>
  withAdopter(command, null, 17, async (adopter) => {
    const before = await adopter.state();
    await adopter.init("none");
    await adopter.pushAll();
    await adopter.passesItsTests();
    await adopter.doctorIsClean();
    await adopter.uninstall();
    assert.equal(
      (await adopter.state()).files["supabase/config.toml"],
      before.files["supabase/config.toml"],
    );
  }));

Deno.test("ADP-03: a push whose connection ends in the middle is completed by the next one", () =>
  withAdopter(command, "own_hooks", 17, async (adopter) => {
    await adopter.init("all");
    const admin = adopter.sql("supabase_admin");
    const interrupted = admin`
      do $$ begin
        while (
          select count(*) < 5 from supabase_migrations.schema_migrations where name ~ '^bulwark_'
        ) loop
          perform pg_sleep(0.005);
        end loop;
        -- In the middle of a migration: what was idle, the CLI would replace without a word.
        loop
          perform pg_stat_clear_snapshot();
          perform pg_terminate_backend(pid) from pg_stat_activity
          where usename = 'postgres' and state = 'active' and backend_xid is not null;
          exit when found;
        end loop;
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
    await adopter.doctorIsClean();
  }));

Deno.test("ADP-04: what is in the way is named, all of it, and nothing is written", () =>
  withAdopter(command, "uuid_tenants", 17, async (adopter) => {
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

Deno.test("ADP-05: the Supabase CLI finds nothing to say of a declarative project with everything installed", () =>
  withAdopter(command, "bigint_teams", 17, async (adopter) => {
    const before = await advice(adopter);
    await adopter.init("all");
    // As init advises: the declared schema begins with Bulwark, and names what is guarded.
    const guard = await Deno.readTextFile(folderOf("bigint_teams", "guard.sql"));
    await adopter.write("supabase/schemas/90_bulwark.sql", guard);
    await adopter.edit(
      "supabase/config.toml",
      (text) =>
        text.replace("schema_paths = [", `schema_paths = ["./migrations/*_bulwark_*.sql", `),
    );
    await adopter.init("all");
    await adopter.addMigration("guard", guard);
    await adopter.pushAll();
    assert.equal(await advice(adopter), before, "db advisors: as of the application alone");
    const pushed = await adopter.push();
    assert.ok(pushed.success && /up to date/i.test(pushed.output), pushed.output);
    await typesAreValid(adopter);

    const [again, declared] = await Promise.all([adopter.beside(), adopter.beside()]);
    try {
      await again.pushAll();
      for (const file of await adopter.declared()) await declared.sql().unsafe(file).simple();
      assert.equal(await difference(adopter, again), "", "each database becomes the same");
      assert.equal(await difference(adopter, declared), "", "and the one that is declared");
      // As if it had been installed two months before.
      await again.sql()`
        select bulwark_private.remake_audit_partitions(
          (date_trunc('month', now()) - interval '2 months')::date
        )
      `;
      assert.match(await difference(adopter, again), /audit_logs_/, "shows months alone");
      assert.equal(await difference(adopter, again, "--schema", "public,bulwark"), "");
    } finally {
      await Promise.all([again.stop(), declared.stop()]);
    }
  }));

/** The findings of `supabase db advisors`. */
async function advice(adopter: Adopter): Promise<string> {
  const { success, stdout, output } = await adopter.cli(
    ...["db", "advisors", "--type", "all", "--level", "warn", "--output-format", "json"],
  );
  assert.ok(success, output);
  return stdout;
}

/** `supabase gen types` makes a module that type-checks and has ours beside theirs. */
async function typesAreValid(adopter: Adopter): Promise<void> {
  const types = await adopter.cli("gen", "types", "typescript", "--schema", "public,bulwark");
  assert.ok(types.success, types.output);
  const path = join(adopter.folder, "database.types.ts");
  await Deno.writeTextFile(path, types.stdout);
  const config = `--config=${inRepository("deno.json")}`;
  const checked = await run(currentDeno(), ["check", "--quiet", config, path], root);
  assert.equal(checked.code, 0, checked.stderr);
  for (const name of ["reports", "has_permission", "organizations"]) {
    assert.ok(types.stdout.includes(`"${name}":`), name);
  }
}
