/** Upgrades: a database that was upgraded is one that was installed, with everything it held. */
import assert from "node:assert/strict";
import { builtVersion } from "../../scripts/building/migrations.ts";
import { installations } from "./schema_text.ts";
import { assertUpgrades } from "./upgrading.ts";
import { madeUpNext } from "./versions.ts";

for (const [number, installation] of Object.entries(installations)) {
  Deno.test({
    name:
      `UPG-02: on ${number}, an upgrade leaves what an installation makes, and everything as it was`,
    ignore: installation === null,
    async fn() {
      assert.ok(installation);
      const before = await builtVersion();
      const { next: after, byHand } = madeUpNext(before);
      await assertUpgrades(installation, { before, after, present: "before", byHand });
    },
  });
}
