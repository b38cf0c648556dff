import assert from "node:assert/strict";
import { join } from "node:path";
import { readProjectFiles } from "../../../cli/doctor/project_files.ts";
import { findProject, projectAround } from "../../../cli/project.ts";

Deno.test("every command finds the project in a folder or above it, the doctor too", async () => {
  const root = await Deno.makeTempDir();
  try {
    const below = join(root, "app", "supabase", "functions", "hello");
    await Deno.mkdir(below, { recursive: true });
    await Deno.writeTextFile(join(root, "app", "supabase", "config.toml"), 'project_id = "x"\n');
    for (const folder of [below, join(root, "app", "supabase"), join(root, "app")]) {
      assert.equal(findProject(folder).root, join(root, "app"));
      assert.equal(readProjectFiles(folder)?.config("project_id"), "x");
    }
    assert.equal(projectAround(root), null);
    assert.equal(readProjectFiles(root), null);
    assert.throws(() => findProject(root), { code: "CLI_NOT_A_PROJECT" });
    for (const find of [findProject, projectAround, readProjectFiles]) {
      assert.throws(() => find(join(root, "ap")), { code: "CLI_NOT_A_PROJECT" });
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
