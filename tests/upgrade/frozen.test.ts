/** The newest frozen version, upgraded to the present sources by the release migrations. */
import assert from "node:assert/strict";
import { builtVersion } from "../../scripts/building/migrations.ts";
import {
  frozenVersions,
  nextFolder,
  readByHand,
  readFrozen,
} from "../../scripts/building/releases.ts";
import { installations } from "./schema_text.ts";
import { assertUpgrades } from "./upgrading.ts";

const frozen = await frozenVersions();
const newest = frozen.at(-1);

Deno.test("UPG-07: every frozen version has the migrations of the core", async () => {
  for (const version of frozen) {
    const folders = [...(await readFrozen(version)).keys()];
    assert.ok(["00_foundation", "01_rbac", "02_audit"].every((name) => folders.includes(name)));
  }
});

// Before the first version is frozen there is nothing to upgrade.
for (const [number, installation] of newest ? Object.entries(installations) : []) {
  Deno.test({
    name: `UPG-06: on ${number}, the newest frozen version becomes the present one`,
    ignore: installation === null,
    async fn() {
      assert.ok(installation && newest);
      const versions = [await readFrozen(newest), await builtVersion()] as const;
      await assertUpgrades(installation, versions, await readByHand(nextFolder));
    },
  });
}
