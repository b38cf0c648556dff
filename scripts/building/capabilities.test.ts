import assert from "node:assert/strict";
import { exists } from "../stack/binaries.ts";
import { inRepository } from "../stack/paths.ts";
import { capabilities, closure, functionFolders, installedModule, start } from "./capabilities.ts";

const names = (chosen: string[]) => closure(chosen).map(({ name }) => name);
const core = ["foundation", "rbac", "audit", "security_events", "cache", "restores"];

Deno.test("closure() adds the core and what a capability needs, in the order of installation", () => {
  assert.deepEqual(names([]), core);
  assert.deepEqual(names(["api_keys"]), [
    ...["foundation", "rbac", "audit", "encryption", "security_events", "mfa", "rate_limits"],
    ...["api_keys", "cache", "restores"],
  ]);
  assert.deepEqual(names(["webhooks", "encryption"]), names(["webhooks"]));
});

Deno.test("closure() refuses an unknown capability", () => {
  assert.throws(() => closure(["rbac", "billing"]), /billing/);
});

Deno.test("each source folder belongs to one capability", async () => {
  const listed = [...capabilities, start].map(({ folder }) => folder);
  assert.deepEqual(await folders("supabase/schemas"), listed);
});

Deno.test("functionFolders() of all capabilities are the folders of supabase/functions", async () => {
  const shared = (await folders("supabase/functions/_bulwark")).map((name) => `_bulwark/${name}`);
  const functions = (await folders("supabase/functions")).filter((name) => name !== "_bulwark");
  const all = functionFolders(capabilities.map(({ name }) => name));
  assert.deepEqual(all.sort(), [...shared, ...functions].sort());
});

Deno.test("functionFolders() leaves out the functions of what is not chosen", () => {
  const folders = functionFolders(["encryption"]);
  assert(folders.includes("bulwark-encryption") && folders.includes("_bulwark/encryption"));
  assert(!folders.includes("bulwark-mfa") && !folders.includes("_bulwark/webhooks"));
});

Deno.test("the repository's functions know every capability", async () => {
  const path = inRepository("supabase/functions/_bulwark/foundation/installed.ts");
  assert(exists(path));
  assert.equal(
    await Deno.readTextFile(path),
    installedModule(capabilities.map(({ name }) => name)),
  );
});

async function folders(path: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(inRepository(path))) {
    if (entry.isDirectory) found.push(entry.name);
  }
  return found.sort();
}
