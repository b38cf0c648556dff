import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { inRepository, root } from "../stack/paths.ts";
import { makeScratchFolder } from "../stack/scratch.ts";

/** Names that a checkout may have: capitals and digits, spaces, other scripts, 200 characters. */
const folders = [
  "KVUaZ6ZtEo4Qx7zK2Lp9Ww3Rt5Yu8Ii1Oo4Pp6Aa2Ss3",
  "a folder & more",
  "ünïcödé 日本",
  "é'%20#x",
];

Deno.test("the tests pass in a folder with an odd name", async () => {
  const scratch = await makeScratchFolder("clone");
  try {
    const checkout = join(scratch.path, ...folders, "deep".repeat(40));
    assert.ok(checkout.length > 200);
    await copyCheckout(checkout);
    const { success, stdout, stderr } = await new Deno.Command("node", {
      args: [
        join(checkout, "scripts", "run.mjs"),
        "test",
        "foundation/tracking",
        "foundation/foundation",
        "rbac/function",
      ],
      cwd: checkout,
      // Its input has no writer, so it must not end when the input does.
      env: { BULWARK_PARENT_PIPE: "" },
      stdin: "null",
    }).output();
    const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n");
    assert.ok(success, output);
    assert.match(output, /^\d+ passed, 0 failed$/m);
  } finally {
    await scratch.remove();
  }
});

/** Copies what is or will be under version control, and shares the installed packages. */
async function copyCheckout(to: string): Promise<void> {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const { stdout } = await new Deno.Command("git", { args, cwd: root }).output();
  const files = new TextDecoder().decode(stdout).split("\0").filter((file) => file !== "");
  assert.ok(files.length > 100);
  for (const file of files) {
    await Deno.mkdir(join(to, dirname(file)), { recursive: true });
    // A file that was deleted and is still in the index.
    await Deno.copyFile(inRepository(file), join(to, file)).catch((thrown) => {
      if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
    });
  }
  await Deno.symlink(inRepository("node_modules"), join(to, "node_modules"));
}
