import assert from "node:assert/strict";
import { join } from "node:path";
import { applyPlan } from "../../../cli/apply.ts";
import { contentsFor } from "../../../cli/contents.ts";
import { readLock } from "../../../cli/lock.ts";
import type { Plan } from "../../../cli/plan.ts";
import { planInstallation } from "../../../cli/planning.ts";
import { openProject, type Project } from "../../../cli/project.ts";

const now = new Date("2026-11-29T12:00:00Z");

/** Runs a test in an empty project. */
function inProject(task: (project: Project, plan: (names: string[]) => Plan) => void): void {
  const root = Deno.makeTempDirSync();
  try {
    Deno.mkdirSync(join(root, "supabase"));
    Deno.writeTextFileSync(join(root, "supabase/config.toml"), "");
    const project = openProject(root);
    task(project, (names) =>
      planInstallation("test", {
        ...{ project, contents: contentsFor(names), lock: readLock(project), applied: [], now },
      }));
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

const migrations = ({ changes }: Plan) =>
  changes.map(({ path }) => /migrations\/(\d+)_bulwark_(\w+)\.sql$/.exec(path))
    .filter((match) => match !== null)
    .map(([, version, name]) => ({ version, name }));

Deno.test("a plan orders migrations by what they need, ends with the start, and writes nothing", () => {
  inProject((project, plan) => {
    const planned = plan(["api_keys"]);
    assert.deepEqual(migrations(planned).map(({ name }) => name), [
      ...contentsFor(["api_keys"]).capabilities,
      "start",
    ]);
    const versions = migrations(planned).map(({ version }) => version);
    assert.deepEqual(versions, [...new Set(versions)].sort());
    assert.deepEqual(project.filesBelow("supabase"), ["supabase/config.toml"]);
    assert.deepEqual(
      planned.changes.filter(({ secret }) => secret).map(({ path }) => path),
      ["supabase/functions/.env"],
    );
  });
});

Deno.test("a plan of what is there is empty, and an addition has a start of its own", () => {
  inProject((project, plan) => {
    applyPlan(project, plan([]));
    assert.deepEqual(plan([]).changes, []);
    assert.deepEqual(migrations(plan(["webhooks"])).map(({ name }) => name), [
      "encryption",
      "webhooks",
      "start",
    ]);
  });
});

Deno.test("a missing file comes back under its name, and an edited one stays", () => {
  inProject((project, plan) => {
    applyPlan(project, plan([]));
    const [migration = ""] = project.filesBelow("supabase/migrations");
    const missing = "supabase/functions/bulwark-rbac/deno.json";
    const edited = "supabase/functions/bulwark-rbac/index.ts";
    for (const path of [migration, missing]) Deno.removeSync(join(project.root, path));
    Deno.writeTextFileSync(join(project.root, edited), "// Mine\n");
    const planned = plan([]);
    assert.deepEqual(planned.changes.map(({ path }) => path), [migration, missing]);
    assert.deepEqual(planned.notes, [`${edited} is edited and stays as it is.`]);
  });
});

Deno.test("a checkout with other line ends counts as unedited", () => {
  inProject((project, plan) => {
    applyPlan(project, plan([]));
    for (const path of project.filesBelow("supabase/functions/bulwark-rbac")) {
      const text = project.read(path) ?? "";
      Deno.writeTextFileSync(join(project.root, path), text.replaceAll("\n", "\r\n"));
    }
    assert.deepEqual(plan([]).changes, []);
    assert.deepEqual(plan([]).notes, []);
  });
});

Deno.test("applyPlan() refuses a file that changed since it was planned, and writes nothing", () => {
  inProject((project, plan) => {
    const planned = plan([]);
    Deno.writeTextFileSync(join(project.root, "supabase/config.toml"), "# now\n");
    assert.throws(() => applyPlan(project, planned), { code: "CLI_CHANGED_MEANWHILE" });
    assert.deepEqual(project.filesBelow("supabase"), ["supabase/config.toml"]);
  });
});
