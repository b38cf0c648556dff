import assert from "node:assert/strict";
import { exists } from "../stack/binaries.ts";
import { inRepository } from "../stack/paths.ts";
import { realParts } from "./real_parts.ts";
import { select } from "./selection.ts";

Deno.test("tests against real programs run when they are named, and only then", async () => {
  const all = await select([]);
  assert.deepEqual(all.real, []);
  assert.ok(all.endToEnd.length > 50);
  assert.deepEqual(all.endToEnd.filter((path) => path.includes("/real_")), []);
  for (const { noun, variable } of realParts) {
    const before = Deno.env.get(variable);
    try {
      Deno.env.delete(variable);
      await assert.rejects(select([noun]), { code: "NO_PROGRAM", status: 2 });
      Deno.env.set(variable, "/nowhere");
      const { real, endToEnd, pgtap, scripts } = await select([noun]);
      assert.deepEqual([endToEnd, pgtap, scripts], [[], [], []]);
      assert.deepEqual(real.map(({ part }) => part.noun), [noun]);
      for (const path of real.flatMap(({ paths }) => paths)) {
        assert.ok(exists(inRepository(path)), path);
      }
    } finally {
      if (before === undefined) Deno.env.delete(variable);
      else Deno.env.set(variable, before);
    }
  }
  assert.deepEqual((await select(["mfa/sessions"])).real, []);
});

Deno.test("a page of the documents is tested alone when it is named", async () => {
  const { endToEnd, pages } = await select(["documents/audit-archive", "documents/readme"]);
  assert.deepEqual(endToEnd, ["tests/documents/records.test.ts", "tests/documents/start.test.ts"]);
  assert.deepEqual(pages.sort(), ["README.md", "docs/audit-archive.md"]);
  const all = await select(["documents"]);
  assert.ok(all.endToEnd.length > endToEnd.length);
  assert.deepEqual(all.pages, []);
  const file = await select(["documents/access", "documents/install"]);
  assert.deepEqual(file.pages, []);
});
