/** The health of a running stack, whose parts are stopped one after the other. */
import assert from "node:assert/strict";
import { readText } from "../../scripts/testing/exposition.ts";
import {
  callFunction,
  connect,
  createOrganization,
  metricsToken,
  publishableKey,
  secretKey,
  signUp,
  url,
} from "../support.ts";

const scraper = { authorization: `Bearer ${metricsToken}` };

async function health(headers: Record<string, string> = {}, query = "") {
  const answer = await callFunction(`metrics/health${query}`, { headers });
  return { status: answer.status, body: await answer.json() };
}

/** The health that a scraper sees, once it is as expected; an answer is kept for five seconds. */
async function eventually(expected: (checks: Record<string, string>) => boolean) {
  let seen: Record<string, string> = {};
  for (const start = Date.now(); Date.now() - start < 40_000;) {
    const { body } = await health(scraper);
    seen = Object.fromEntries(
      Object.entries<{ status: string }>(body.checks).map(([name, { status }]) => [name, status]),
    );
    if (expected(seen)) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.fail(`never as expected: ${JSON.stringify(seen)}`);
}

Deno.test("MET-E12: a scraper and the secret key see each dependency, anybody else the status", async () => {
  await eventually((checks) => Object.values(checks).every((status) => status === "ok"));
  const { status, body } = await health(scraper);
  assert.equal(status, 200);
  assert.equal(body.status, "ok");
  assert.deepEqual(
    Object.keys(body.checks).sort(),
    ["checkpoints", "database", "jobs", "keys", "seals", "verification"],
  );
  assert.equal(
    (await health({ authorization: `Bearer ${secretKey}` })).body.checks.jobs.status,
    "ok",
  );
  const plain = await fetch(`${url}/functions/v1/bulwark-metrics/health`);
  assert.deepEqual([plain.status, await plain.json()], [200, { status: "ok" }]);
  const head = await fetch(`${url}/functions/v1/bulwark-metrics/health`, { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.deepEqual(
    await health({ authorization: `Bearer ${publishableKey}` }),
    { status: 200, body: { status: "ok" } },
  );
});

Deno.test("MET-E13: a wrong token is refused, and so are administrators of organizations", async () => {
  const [ours, theirs] = [await signUp("ours"), await signUp("theirs")];
  await createOrganization(ours);
  await createOrganization(theirs);
  const cases: [string, number, string][] = [
    [`${metricsToken}x`, 401, "UNAUTHORIZED"],
    [`${ours.token.slice(0, -3)}AAA`, 401, "UNAUTHORIZED"],
    [ours.token, 403, "RBAC_PERMISSION_DENIED"],
    [theirs.token, 403, "RBAC_PERMISSION_DENIED"],
  ];
  for (const [token, status, code] of cases) {
    const answer = await health({ authorization: `Bearer ${token}` });
    assert.deepEqual([answer.status, answer.body.code], [status, code]);
    assert.equal(answer.body.checks, undefined);
  }
  assert.equal((await health({}, "?verbose=1")).status, 400);
});

Deno.test("MET-E14: a sealer that stops degrades the health, and a scrape says what it is", async () => {
  const sql = connect(2);
  try {
    await sql`update bulwark.settings set value = '2' where name = 'audit.seal_overdue_seconds'`;
    await sql.begin(async (held) => {
      await held`select pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0))`;
      await sql`select bulwark.log_audit_event('data.read', 'look')`;
      await eventually((checks) => checks.seals === "failing" && checks.database === "ok");
      const open = await health();
      assert.deepEqual(open, { status: 200, body: { status: "degraded" } });
      assert.deepEqual(await health({}, "?strict"), { status: 503, body: { status: "degraded" } });
      // The local stack runs one job at a time, and the sealer waits.
      await sql`select bulwark_private.record_levels('levels', '5 minutes')`;
      // A scrape is kept for five seconds.
      await new Promise((resolve) => setTimeout(resolve, 6000));
      assert.ok(((await scraped("bulwark_audit_seal_lag_seconds"))[0]?.value ?? 0) > 2);
      const ups = Object.fromEntries(
        (await scraped("bulwark_dependency_up")).map(({ labels, value }) => [
          labels.dependency,
          value,
        ]),
      );
      assert.deepEqual([ups.seals, ups.database], [0, 1]);
      assert.ok(((await scraped("bulwark_audit_unsealed_entries"))[0]?.value ?? 0) > 0);
    });
    await eventually((checks) => checks.seals === "ok");
  } finally {
    await sql`update bulwark.settings set value = '180' where name = 'audit.seal_overdue_seconds'`;
    await sql.end();
  }
});

Deno.test("MET-E15: a database that does not answer is 503, no later than the check's timeout", async () => {
  const sql = connect(1);
  try {
    await sql.begin(async (held) => {
      await held`lock table bulwark_private.audit_check_progress in access exclusive mode`;
      await eventually((checks) => checks.database === "failing");
      const start = performance.now();
      const { status, body } = await health();
      assert.deepEqual([status, body], [503, { status: "unavailable" }]);
      assert.ok(performance.now() - start < 7000);
    });
    await eventually((checks) => checks.database === "ok");
  } finally {
    await sql.end();
  }
});

async function scraped(name: string) {
  const answer = await callFunction("metrics", { headers: scraper });
  return readText(await answer.text(), "prometheus").get(name)?.samples ?? [];
}
