/** The commands of the pages on scaling and troubleshooting, as they are written there. */
import assert from "node:assert/strict";
import { callFunction, createOrganization, signUp } from "../support.ts";
import { type Ran, type Runbook, runbookTest } from "./page.ts";

/** The only block of a section. */
async function only(page: Runbook, section: string, values = {}): Promise<Ran> {
  const [ran, ...more] = await page.run(section, values);
  assert.ok(ran && more.length === 0);
  return ran;
}

runbookTest(
  "RUN-90: troubleshooting tells causes apart",
  "../troubleshooting",
  async (page, sql) => {
    const [admin, stranger] = [await signUp("admin"), await signUp("stranger")];
    const organization = await createOrganization(admin);
    const other = await createOrganization(stranger);
    const asked = async (user: string, organization: string) => {
      const values = { "user id": user, "organization id": organization };
      const [decision, sessions] = await page.run("Somebody sees no rows, or gets 42501", values);
      assert.equal(sessions?.rows.length, 1);
      return decision?.rows[0]?.allowed;
    };
    assert.equal(await asked(admin.id, organization), true);
    assert.equal(await asked(stranger.id, organization), false);
    assert.equal(await asked(stranger.id, other), true);

    const exposed = await only(page, "The Data API answers 406 or PGRST106");
    assert.doesNotMatch(exposed.output, /PGRST106/);
    const { output } = await only(page, "Functions answer 503");
    assert.deepEqual(JSON.parse(output).checks.database.status, "ok");
    const [header, blocks] = await page.run("Everybody gets 429");
    assert.equal(header?.rows.length, 2);
    assert.deepEqual(blocks?.rows, []);

    const [scheduled] = await page.run("Nothing is scheduled", {}, { blocks: [0] });
    assert.deepEqual(scheduled?.rows, [{ schedule_jobs: false }], "the local stack has no pg_cron");
    await sql`select bulwark_private.record_levels('levels', '5 minutes')`;
    const [states] = await page.run("Nothing is scheduled", {}, { blocks: [1] });
    assert.ok(states?.rows.some(({ name }) => name === "audit-seal"));
    const [health, status] = await page.run("Entries are not sealed, or not signed");
    assert.deepEqual(
      health?.rows.map(({ name }) => name).sort(),
      ["checkpoints", "jobs", "seals", "verification"],
    );
    assert.equal(status?.rows[0]?.audit_status.settled, true);

    assert.deepEqual((await only(page, "Webhooks do not arrive")).rows, []);
    assert.equal((await only(page, "No metrics")).output, "200\n");
    // A request that waits for a lock is slower than all others, also on a slow machine.
    const asking = await sql.begin(async (lock) => {
      await lock`lock table bulwark.user_roles in access exclusive mode`;
      const path = `rbac?permission=audit:read&organization_id=${organization}`;
      const call = callFunction(path, { token: admin.token });
      await new Promise((resolve) => setTimeout(resolve, 2000));
      return { call };
    });
    assert.equal((await asking.call).status, 204);
    const isListed = async () => {
      const slow = await only(page, "Requests are slow");
      return slow.rows.some(({ label, p95_ms }) => label === "rpc/my_permissions" && p95_ms > 1000);
    };
    const end = Date.now() + 60_000;
    while (!await isListed()) {
      assert.ok(Date.now() < end, "the slow request is not among the slow ones");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    assert.deepEqual((await only(page, "A migration waits or fails")).rows, []);
  },
);

runbookTest("RUN-91: every lever of scaling can be moved", "../scaling", async (page, sql) => {
  const plan = (await only(page, "Policies")).rows.map((row) => Object.values(row)[0]).join("\n");
  assert.match(plan, /InitPlan/);
  assert.doesNotMatch(plan, /SubPlan/);
  const [, months] = await page.run("The audit log");
  assert.ok((months?.rows.length ?? 0) >= 2);
  await page.run("Webhooks");
  assert.ok((await only(page, "Connections")).rows.length > 0);
  const [series] = await page.run("Metrics");
  assert.ok((series?.rows.length ?? 0) > 0);
  const [row] = await sql`
    select (select value from bulwark.settings where name = 'audit.seal_entries') as entries,
      (select value from bulwark.settings where name = 'webhooks.workers') as workers,
      (select max_series::int from bulwark_private.metrics
       where name = 'api_response_time') as series`;
  assert.deepEqual({ ...row }, { entries: 50000, workers: 4, series: 2000 });
});
