/** The rehearsal of `npm run drill`: nothing is lost, by any way. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { drill } from "../../scripts/drill/drill.ts";
import { ways } from "../../scripts/drill/ways.ts";
import { debianPostgres, embeddedPostgres, exists } from "../../scripts/stack/binaries.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";

Deno.test("RST-01: a project that is lost comes back whole from each backup, and works", async () => {
  const installation = debianPostgres() ?? embeddedPostgres();
  const possible = exists(join(installation.bin, "pg_dump"))
    ? ways
    : ways.filter(({ needsPrograms }) => !needsPrograms);
  const { path, remove } = await makeScratchFolder("drill");
  const steps: string[] = [];
  try {
    assert.deepEqual(await drill(path, installation, possible, (step) => steps.push(step)), []);
    assert.equal(steps.filter((step) => step.startsWith("restore: ")).length, possible.length);
  } finally {
    await remove();
  }
});
