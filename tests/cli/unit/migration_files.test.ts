import assert from "node:assert/strict";
import { nextVersions } from "../../../cli/migration_files.ts";

const now = new Date("2026-11-29T23:59:58Z");

Deno.test("nextVersions() counts seconds of the calendar up to now, and none of the future", () => {
  const midnight = new Date("2026-11-30T00:00:00Z");
  assert.deepEqual(nextVersions(["20250101000000_a.sql", "0001_old.sql"], 3, midnight), [
    "20261129235958",
    "20261129235959",
    "20261130000000",
  ]);
});

Deno.test("nextVersions() goes past now only after a migration that is newer", () => {
  assert.deepEqual(nextVersions(["20261129235957_just_made.sql"], 3, now), [
    "20261129235958",
    "20261129235959",
    "20261130000000",
  ]);
});

Deno.test("nextVersions() comes after each migration there is, by the order of file names", () => {
  const cases = {
    "20261129235958_same.sql": "20261129235959",
    "20301231235959_future.sql": "20310101000000",
    "20269999999999_no_date.sql": "20270000000000",
    "20270101_short.sql": "20270102000000",
    "20270101000000123_long.sql": "20270101000001",
  };
  for (const [name, expected] of Object.entries(cases)) {
    const [version = ""] = nextVersions(["20200101000000_x.sql", name], 1, now);
    assert.equal(version, expected);
    assert.deepEqual([`${version}_a.sql`, name].sort(), [name, `${version}_a.sql`]);
  }
});

Deno.test("nextVersions() refuses where nothing can come after", () => {
  assert.throws(() => nextVersions(["99999999999999_last.sql"], 1, now), {
    code: "CLI_NO_TIMESTAMP_LEFT",
  });
});
