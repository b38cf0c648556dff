/** The paths of the Supabase CLI that need no Docker, on an application with everything installed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { currentDeno } from "../../scripts/stack/binaries.ts";
import { inRepository, root } from "../../scripts/stack/paths.ts";
import { installCommand, run } from "../cli/support.ts";
import { difference, folderOf, withAdopter } from "./support.ts";

const command = await installCommand();
globalThis.addEventListener("unload", () => Deno.removeSync(command.folder, { recursive: true }));

Deno.test("ADP-06: push, advisors, types and diff of the Supabase CLI are clean with everything installed", () =>
  withAdopter(command, "bigint_teams", 17, async (adopter) => {
    const advice = async () => {
      const args = [
        "db",
        "advisors",
        "--type",
        "all",
        "--level",
        "warn",
        "--output-format",
        "json",
      ];
      const { success, stdout, output } = await adopter.cli(...args);
      assert.ok(success, output);
      return stdout;
    };
    const before = await advice();
    await adopter.init("all");
    await adopter.migrate("guard", await Deno.readTextFile(folderOf("bigint_teams", "guard.sql")));
    assert.equal(
      await advice(),
      before,
      "the advisors say what they said of the application alone",
    );

    const again = await adopter.push();
    assert.ok(again.success && /up to date/i.test(again.output), again.output);

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

    const older = await adopter.beside();
    try {
      await older.pushAll();
      assert.equal(await difference(adopter, older), "", "of the same month");
      // As if it had been installed two months before.
      await older.sql()`
        select bulwark_private.remake_audit_partitions(
          (date_trunc('month', now()) - interval '2 months')::date
        )
      `;
      assert.match(await difference(adopter, older), /audit_logs_/, "shows months alone");
      assert.equal(await difference(adopter, older, "--schema", "public,bulwark"), "");
    } finally {
      await older.stop();
    }
  }));
