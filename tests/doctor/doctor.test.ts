/** Each check of the doctor sees what is broken for real, and nothing else. */
import assert from "node:assert/strict";
import { cases } from "./cases.ts";
import { examine, onEachVersion, problemsOf, reportOn } from "./support.ts";

Deno.test("DOC-01: a healthy project is clean; each fault is found, and nothing beside it", async (t) => {
  await onEachVersion(async (patient) => {
    const { major, postgres, admin } = patient;
    // The embedded server cannot have pg_cron.
    const healthy = major === 17 ? ["EXTENSION_MISSING pg_cron"] : [];
    await t.step(`${major}: a deployed project`, async () => {
      const report = await reportOn(patient);
      assert.deepEqual(problemsOf(report), healthy);
      assert.equal(report.clean, major === 15);
      const { code } = await examine(["--db", patient.url("postgres"), "--strict"]);
      assert.equal(code, major === 15 ? 0 : 1);
    });
    for (const { name, as = "postgres", change, undo, finds, only, notes = [] } of cases) {
      if (only && only !== major) continue;
      await t.step(`${major}: ${name}`, async () => {
        const sql = as === "admin" ? admin : postgres;
        await sql.unsafe(change);
        try {
          const report = await reportOn(patient);
          assert.deepEqual(problemsOf(report), [...healthy, ...finds].sort());
          for (const note of notes) {
            assert.ok(
              report.findings.some(({ code, object }) => `${code} ${object}` === note),
              note,
            );
          }
        } finally {
          await sql.unsafe(undo);
        }
      });
    }
    await t.step(`${major}: all of it was undone`, async () => {
      assert.deepEqual(problemsOf(await reportOn(patient)), healthy);
    });
  });
});
