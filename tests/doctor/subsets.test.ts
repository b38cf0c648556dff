/** The doctor and the pgTAP file of adopters in projects with some of the capabilities. */
import assert from "node:assert/strict";
import { installedTest } from "../../scripts/building/installed.ts";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { startUnmigratedCluster } from "../../scripts/testing/databases.ts";
import { runPgtap } from "../../scripts/testing/pgtap.ts";
import { install } from "../../scripts/testing/subsets.ts";
import { examine } from "./support.ts";

const subsets = [[], ["rate_limits"], ["metrics", "webhooks"]];

Deno.test("DOC-12: both look only at what is installed", async (t) => {
  const cluster = await startUnmigratedCluster(embeddedPostgres());
  try {
    for (const names of subsets) {
      await t.step(names.join(" and ") || "the core", async () => {
        await cluster.withDatabase(async (database) => {
          const url = cluster.url("postgres", database);
          await install(names, url);
          const { code, output, errors } = await examine(["--db", url, "--json"]);
          assert.equal(code, 0, output + errors);
          const codes = JSON.parse(output).findings.map((one: { code: string }) => one.code);
          for (
            const [finding, noun] of [
              ["REQUEST_HOOK_NOT_INSTALLED", "rate_limits"],
              ["ALERT_WITHOUT_RECEIVER", "webhooks"],
            ] as const
          ) {
            assert.equal(codes.includes(finding), names.includes(noun), finding);
          }
          assert.deepEqual((await runPgtap(installedTest, url)).failures, []);
        });
      });
    }
  } finally {
    await cluster.stop();
  }
});
