/** API keys under concurrency: one successor, one first reason, and no key past the limit. */
import assert from "node:assert/strict";
import { exchange, issueKey } from "./support.ts";
import { connect, createOrganization, ok, signUp } from "../support.ts";

const times = 16;

Deno.test("KEY-E20: rotated on many connections at once, a key has exactly one successor", async () => {
  const owner = await signUp("owner");
  const organization = await createOrganization(owner);
  const { id } = await issueKey(owner, organization);
  const answers = await Promise.all(
    Array.from({ length: times }, () => owner.client.rpc("rotate_api_key", { key_id: id })),
  );
  const issued = answers.filter(({ error }) => !error);
  assert.equal(issued.length, 1);
  for (const { error, status } of answers.filter(({ error }) => error)) {
    assert.equal(error?.details, "API_KEY_ALREADY_ROTATED");
    assert.equal(status, 409);
  }
  const sql = connect(1);
  const successors = await sql`select id from bulwark.api_keys where rotated_from = ${id}`;
  await sql.end();
  assert.equal(successors.length, 1);
  assert.equal(successors[0]?.id, issued[0]?.data?.id);
});

Deno.test("KEY-E21: rotated and revoked at once, a key and its successor are what one order makes", async () => {
  const owner = await signUp("owner");
  const organization = await createOrganization(owner);
  for (let round = 0; round < 5; round++) {
    const { id, api_key } = await issueKey(owner, organization);
    const [rotated] = await Promise.all([
      owner.client.rpc("rotate_api_key", { key_id: id }),
      owner.client.rpc("revoke_api_key", { key_id: id, because: "a test" }),
    ]);
    assert.equal((await exchange(api_key)).status, 401);
    if (rotated.error) assert.equal(rotated.error.details, "API_KEY_NOT_ACTIVE");
    else assert.equal((await exchange(rotated.data.api_key ?? "")).status, 200);
  }
});

Deno.test("KEY-E22: revoked by many at once, one reason stays and one entry is made", async () => {
  const owner = await signUp("owner");
  const organization = await createOrganization(owner);
  const { id } = await issueKey(owner, organization);
  const answers = await Promise.all(
    Array.from(
      { length: times },
      (_, n) => owner.client.rpc("revoke_api_key", { key_id: id, because: `reason ${n}` }),
    ),
  );
  const reasons = new Set(answers.map((answer) => ok(answer).revoked_because));
  assert.equal(reasons.size, 1);
  const entries = ok(
    await owner.client.from("audit_logs").select("id").eq("event_type", "api.key_revoked")
      .eq("resource_id", id),
  );
  assert.equal(entries.length, 1);
});

Deno.test("KEY-E23: issued by many at once, no more keys than the limit", async () => {
  const owner = await signUp("owner");
  const organization = await createOrganization(owner);
  const sql = connect(1);
  try {
    await sql`update bulwark.settings set value = '5' where name = 'api_keys.limit_per_owner'`;
    const answers = await Promise.allSettled(
      Array.from({ length: times }, () => issueKey(owner, organization)),
    );
    assert.equal(answers.filter(({ status }) => status === "fulfilled").length, 5);
  } finally {
    await sql`update bulwark.settings set value = '50' where name = 'api_keys.limit_per_owner'`;
    await sql.end();
  }
});

Deno.test("KEY-E24: used on many connections at once, a key waits for nobody", async () => {
  const owner = await signUp("owner");
  const organization = await createOrganization(owner);
  const { id } = await issueKey(owner, organization);
  const sql = connect(times);
  try {
    // Each keeps its transaction open, so any wait for another would block.
    await Promise.all(Array.from({ length: times }, () =>
      sql.begin(async (transaction) => {
        await transaction`set local lock_timeout = '1ms'`;
        await transaction`select bulwark_private.note_api_key_use(${id}, ${organization}, '198.51.100.1')`;
        await transaction`select pg_sleep(0.2)`;
      })));
    const [use] =
      await sql`select last_used_at from bulwark_private.api_key_uses where api_key_id = ${id}`;
    assert.ok(use);
  } finally {
    await sql.end();
  }
});
