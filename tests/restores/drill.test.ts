/**
 * The rehearsal of `npm run drill`: nothing is lost. One way, to save time; the command rehearses all, and
 * the other tests of this folder restore each format.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { drill } from "../../scripts/drill/drill.ts";
import { ways } from "../../scripts/drill/ways.ts";
import { debianPostgres, embeddedPostgres, exists } from "../../scripts/stack/binaries.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";

Deno.test("RST-F01: a project that is lost comes back whole from its backup, and works", async () => {
  const installation = debianPostgres() ?? embeddedPostgres();
  const possible = ways.filter(({ needsPrograms }) =>
    !needsPrograms || exists(join(installation.bin, "pg_dump"))
  ).slice(0, 1);
  const { path, remove } = await makeScratchFolder("drill");
  const steps: string[] = [];
  try {
    assert.deepEqual(await drill(path, installation, possible, (step) => steps.push(step)), []);
    assert.equal(steps.filter((step) => step.startsWith("restore: ")).length, possible.length);
  } finally {
    await remove();
  }
});
