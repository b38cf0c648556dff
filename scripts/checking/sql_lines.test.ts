import assert from "node:assert/strict";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";

Deno.test("no line of SQL has more than 100 characters", async () => {
  const long: string[] = [];
  for (const folder of ["supabase", "scripts"]) {
    for (const path of await filesBelow(folder, ".sql")) {
      const lines = (await Deno.readTextFile(inRepository(path))).split("\n");
      lines.forEach((line, index) => {
        if ([...line].length > 100) long.push(`${path}:${index + 1}`);
      });
    }
  }
  assert.deepEqual(long, []);
});
