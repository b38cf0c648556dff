/** Workers and the retention job wait for no row that somebody else's transaction has locked. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { account, organizationOf } from "../races.ts";
import { connect } from "../support.ts";

const ciphertext = `bw1.a256gcm.${"A".repeat(22)}.${"A".repeat(120)}`;

async function makeEndpoint(
  sql: Sql,
  organization: string | null,
  pattern: string,
): Promise<string> {
  const id: string = crypto.randomUUID();
  await sql`
    select bulwark.create_webhook_endpoint(
      ${id}, ${organization}, 'Receiver', 'https://receiver.example', ${ciphertext},
      gen_random_uuid(), ${ciphertext}, ${sql.json([{ pattern }])},
      ordering => ${organization ? "resource" : "none"}
    )
  `;
  return id;
}

/** In a transaction that is rolled back, so that no worker of the stack sees what it makes. */
async function apart<T>(sql: Sql, work: (transaction: Sql) => Promise<T>): Promise<T> {
  const done = new Error("rolled back");
  let result!: T;
  await sql.begin(async (transaction) => {
    result = await work(transaction as unknown as Sql);
    throw done;
  }).catch((thrown) => {
    if (thrown !== done) throw thrown;
  });
  return result;
}

async function claim(sql: Sql) {
  const [row] = await sql`select bulwark.claim_webhook_deliveries('patient', 1000) as claimed`;
  const { deliveries } = row?.["claimed"] as {
    deliveries: { id: string; attempt_id: string; endpoint_id: string }[];
  };
  return deliveries;
}

/** A delivery in order for each endpoint. */
async function queue(sql: Sql, organization: string, endpoints: string[]): Promise<void> {
  await sql`
    insert into bulwark.webhook_deliveries (
      endpoint_id, organization_id, event_id, occurred_at, source, severity, event_type,
      ordering_key
    )
    select e, ${organization}, gen_random_uuid(), now(), 'test', 'info', 'webhook.test', 'a key'
    from unnest(${endpoints}::uuid[]) e
  `;
  await sql`
    insert into bulwark_private.webhook_payloads (delivery_id, data)
    select d.id, '{}' from bulwark.webhook_deliveries d where d.endpoint_id = any (${endpoints})
  `;
}

Deno.test("WHK-W10: neither workers nor the retention wait for a transaction that deletes endpoints", async () => {
  const sql = connect(2);
  const admin = await account(sql);
  const organization = await organizationOf(sql, [admin]);
  const endpoints = [
    await makeEndpoint(sql, organization, "audit.data.read"),
    await makeEndpoint(sql, organization, "audit.data.read"),
  ];
  // A first attempt updates the endpoint's turn twice, so that Postgres checks its foreign key again.
  await apart(sql, async (changing) => {
    await changing`select from bulwark.webhook_endpoints where id = any (${endpoints}) for update`;
    await apart(sql, async (working) => {
      await working`set local lock_timeout = '1s'`;
      await queue(working, organization, endpoints);
      const claimed = await claim(working);
      assert.ok(claimed.every(({ endpoint_id }) => !endpoints.includes(endpoint_id)));
    });
  });
  // A claim takes deliveries of a proven endpoint without locking its turn.
  await sql`
    update bulwark.webhook_endpoint_health set proven = true
    where endpoint_id = any (${endpoints})
  `;
  await apart(sql, async (deleting) => {
    await deleting`delete from bulwark.webhook_endpoints where id = any (${endpoints})`;
    await apart(sql, async (working) => {
      await working`set local lock_timeout = '1s'`;
      await queue(working, organization, endpoints);
      const claimed = (await claim(working)).filter(({ endpoint_id }) =>
        endpoints.includes(endpoint_id)
      );
      assert.equal(claimed.length, 2);
      const results = claimed.map(({ id, attempt_id }) => ({
        delivery_id: id,
        attempt_id,
        outcome: "rejected",
        status: 500,
      }));
      const [completed] = await working`
        select bulwark.complete_webhook_deliveries(${working.json(results)}) as taken
      `;
      assert.equal(completed?.["taken"], 2, "the results are recorded all the same");
      await working`
        update bulwark_private.webhook_secrets set expires_at = now() - interval '1 hour'
        where endpoint_id <> all (${endpoints})
      `;
      await working`select bulwark.prune_webhook_deliveries()`;
    });
  });
  await sql`delete from bulwark.webhook_endpoints where id = any (${endpoints})`;
  await sql.end();
});

Deno.test("WHK-W11: the retention leaves deliveries whose results are just being recorded", async () => {
  const sql = connect(2);
  const deliveries = [crypto.randomUUID(), crypto.randomUUID()];
  await sql`
    insert into bulwark.webhook_deliveries (
      id, endpoint_id, event_id, occurred_at, source, severity, event_type, due_at
    )
    select d, gen_random_uuid(), gen_random_uuid(), now(), 'test', 'info', 'webhook.test',
      now() + interval '1 day'
    from unnest(${deliveries}::uuid[]) d
  `;
  await apart(sql, async (recording) => {
    await recording`
      select from bulwark.webhook_deliveries where id = ${deliveries[0] ?? ""} for no key update
    `;
    await sql.begin(async (pruning) => {
      await pruning`set local lock_timeout = '1s'`;
      await pruning`select bulwark.prune_webhook_deliveries()`;
    });
  });
  const left = await sql`
    select id from bulwark.webhook_deliveries where id = any (${deliveries})
  `;
  assert.deepEqual(left.map(({ id }) => id), [deliveries[0]]);
  await sql`select bulwark.prune_webhook_deliveries()`;
  await sql.end();
});

Deno.test("WHK-W12: the message to an invitee stays queued while the invitation is deleted or looked at", async () => {
  const sql = connect(2);
  const admin = await account(sql);
  const organization = await organizationOf(sql, [admin]);
  const [invited] = await sql`
    insert into bulwark.invitations (organization_id, email, role_id, invited_by, expires_at)
    select ${organization}, 'invitee@races.test', r.id, ${admin}, now() + interval '1 day'
    from bulwark.roles r where r.name = 'viewer' and r.organization_id is null
    returning id
  `;
  const invitation: string = invited?.["id"];
  const messages = (working: Sql) =>
    apart(working, async (transaction) => {
      await transaction`set local lock_timeout = '1s'`;
      await transaction`
        delete from bulwark.webhook_subscriptions where pattern = 'invitation.created'
      `;
      const endpoint = await makeEndpoint(transaction, null, "invitation.created");
      await transaction`select bulwark_private.announce_invitation(${invitation})`;
      return (await claim(transaction)).filter(({ endpoint_id }) => endpoint_id === endpoint);
    });
  await apart(sql, async (deleting) => {
    await deleting`delete from bulwark.invitations where id = ${invitation}`;
    assert.deepEqual(await messages(sql), []);
  });
  await sql`select bulwark_private.issue_invitation_token(${invitation})`;
  await apart(sql, async (looking) => {
    await looking`
      select from bulwark_private.invitation_tokens where invitation_id = ${invitation} for key share
    `;
    assert.deepEqual(await messages(sql), []);
  });
  assert.equal((await messages(sql)).length, 1);
  await sql`delete from bulwark.invitations where id = ${invitation}`;
  await sql.end();
});

Deno.test("WHK-W13: a late result is recorded while the delivery is being replayed", async () => {
  const sql = connect(2);
  const [delivery, attempt] = [crypto.randomUUID(), crypto.randomUUID()];
  await sql`
    insert into bulwark.webhook_deliveries (
      id, endpoint_id, event_id, occurred_at, source, severity, event_type, due_at
    )
    values (
      ${delivery}, gen_random_uuid(), gen_random_uuid(), now(), 'test', 'info', 'webhook.test',
      now() + interval '1 day'
    )
  `;
  await sql`
    insert into bulwark.webhook_attempts (id, delivery_id, number, outcome, worker, started_at)
    values (${attempt}, ${delivery}, 1, 'lost', 'patient', now())
  `;
  const results = [{ delivery_id: delivery, attempt_id: attempt, outcome: "delivered" }];
  await apart(sql, async (replaying) => {
    await replaying`update bulwark.webhook_deliveries set due_at = now() where id = ${delivery}`;
    await sql.begin(async (working) => {
      await working`set local lock_timeout = '1s'`;
      await working`select bulwark.complete_webhook_deliveries(${working.json(results)})`;
    });
  });
  const [row] = await sql`select outcome from bulwark.webhook_attempts where id = ${attempt}`;
  assert.equal(row?.["outcome"], "delivered");
  await sql`select bulwark.prune_webhook_deliveries()`;
  await sql.end();
});
