/** Upgrades that are wrong, which the comparison of schemas must find. */
import assert from "node:assert/strict";
import { builtVersion } from "../../scripts/building/migrations.ts";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import type { Sql } from "../../scripts/stack/connection.ts";
import { schemaLines } from "./schema_text.ts";
import { install, madeUpNext, startWithPresent, upgrade, withDatabase } from "./versions.ts";

Deno.test("UPG-04: what a release migration leaves out or does otherwise shows in the schema", async () => {
  const installation = embeddedPostgres();
  const present = await builtVersion();
  const { next, byHand } = madeUpNext(present);
  const target = await startWithPresent("wrong", installation);
  const schemaAfter = async (name: string, change: (sql: Sql) => Promise<unknown>) =>
    await withDatabase(target, name, async (sql) => {
      await change(sql);
      return await schemaLines(sql);
    }, "present");
  const altered = (column: string) =>
    new Map([["00_foundation", { before: column, after: undefined }]]);
  try {
    const fresh = await withDatabase(target, "fresh", async (sql) => {
      await install(sql, next);
      return await schemaLines(sql);
    });
    assert.deepEqual(
      await schemaAfter("as_derived", (sql) => upgrade(sql, [present, next], byHand)),
      fresh,
    );
    const wrong: [string, (sql: Sql) => Promise<unknown>][] = [
      ["nothing", () => Promise.resolve()],
      [
        "another_default",
        (sql) =>
          upgrade(
            sql,
            [present, next],
            altered(
              "alter table bulwark.settings add column made_up boolean not null default false;",
            ),
          ),
      ],
      [
        "a_lost_grant",
        (sql) => {
          const text = next.get("01_rbac")!;
          const lost = new Map(next).set(
            "01_rbac",
            text.replace(/grant execute on function bulwark\.made_up.*\n/, ""),
          );
          assert.notEqual(lost.get("01_rbac"), text);
          return upgrade(sql, [present, lost], byHand);
        },
      ],
      [
        "row_functions_as_before",
        async (sql) => {
          const text = next.get("02_audit")!.replace("-- Made up.", "-- Made up otherwise.");
          await upgrade(sql, [present, new Map(next).set("02_audit", text)], byHand);
        },
      ],
    ];
    for (const [name, change] of wrong) {
      assert.notDeepEqual(await schemaAfter(name, change), fresh, name);
    }
    await assert.rejects(
      () => schemaAfter("refused", (sql) => upgrade(sql, [present, next])),
      /by_hand/,
    );
  } finally {
    await target.stop();
  }
});
