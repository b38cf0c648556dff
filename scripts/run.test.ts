import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { inRepository } from "./stack/paths.ts";

Deno.test("a missing platform binary is one line that says what to do", async () => {
  const tree = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(tree, "scripts"));
    await Deno.mkdir(join(tree, "node_modules"));
    await Deno.copyFile(inRepository("scripts", "run.mjs"), join(tree, "scripts", "run.mjs"));
    await Deno.writeTextFile(join(tree, "scripts", "start.ts"), "");
    await Deno.writeTextFile(join(tree, "package-lock.json"), "{}");
    const stamp = createHash("sha256").update("{}").digest("hex");
    await Deno.writeTextFile(join(tree, "node_modules", ".bulwark-lock-hash"), stamp);
    const result = await new Deno.Command("node", {
      args: [join(tree, "scripts", "run.mjs"), "start"],
    }).output();
    assert.equal(result.code, 2);
    const output = new TextDecoder().decode(result.stderr).trim();
    assert.match(output, /^Cannot find Deno for \S+ in node_modules: run npm ci/);
    assert.equal(output.split("\n").length, 1);
  } finally {
    await Deno.remove(tree, { recursive: true });
  }
});
