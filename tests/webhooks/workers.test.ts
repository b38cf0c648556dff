/** Several workers: many at once, one that dies, and order on request. */
import assert from "node:assert/strict";
import { inRepository } from "../../scripts/stack/paths.ts";
import { connect, createOrganization, ok, type Person, signUp } from "../support.ts";
import { cause, endpoint, receive, type Received, set, until, work } from "./support.ts";

/** The status of an endpoint's deliveries by id, with their attempts. */
async function ledger(endpointId: string) {
  const sql = connect(1);
  const rows = await sql<
    { id: string; status: string; attempts: number; logged: number; distinct: number }[]
  >`
    select d.id, d.status::text, d.attempts::int, count(a.id)::int as logged,
      count(distinct a.number)::int as distinct
    from bulwark.webhook_deliveries d
    left join bulwark.webhook_attempts a on a.delivery_id = d.id
    where d.endpoint_id = ${endpointId}
    group by d.id
    order by d.sequence
  `;
  await sql.end();
  return rows;
}

const settled = async (endpointId: string, count: number) => {
  const rows = await ledger(endpointId);
  return rows.length === count && rows.every(({ status }) => status === "delivered");
};

async function organization(): Promise<{ admin: Person; id: string }> {
  const admin = await signUp("admin");
  return { admin, id: await createOrganization(admin) };
}

const counts = (received: Received[]) => {
  const counts = new Map<string, number>();
  for (const { id } of received) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
};

const resourceOf = ({ body }: Received): string => JSON.parse(body).data.resource_id;

Deno.test("WHK-W01: twenty workers at once deliver each event once", async () => {
  const { admin, id } = await organization();
  await using receiver = receive();
  const target = await endpoint(admin, id, receiver);
  const events = 200;
  const working = Array.from(
    { length: 20 },
    (_, index) => work(`worker-${index}`, { wait: 4000, interval: 100, batch: 5 }),
  );
  await cause(id, events);
  await Promise.all(working);
  await until(() => settled(target.id, events));
  assert.equal(receiver.received.length, events);
  assert.equal(counts(receiver.received).size, events);
  for (const row of await ledger(target.id)) {
    assert.deepEqual([row.attempts, row.logged], [1, 1]);
  }
});

Deno.test("WHK-W02: what a killed worker was delivering is delivered again under the same id", async () => {
  const { admin, id } = await organization();
  const release = Promise.withResolvers<void>();
  await using receiver = receive(async (_, index) => {
    if (index === 0) await release.promise;
    return new Response("thank you");
  });
  const target = await endpoint(admin, id, receiver);
  // Disabled, so that only the killed process takes the sample.
  await admin.client.rpc("disable_webhook_endpoint", { endpoint_id: target.id });
  const sample = ok(await admin.client.rpc("send_test_webhook", { endpoint_id: target.id }));
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      "--config=deno.json",
      inRepository("tests", "webhooks", "worker.ts"),
      "doomed",
      sample,
    ],
    stdin: "null",
  }).spawn();
  await receiver.until(({ length }) => length === 1);
  child.kill("SIGKILL");
  await child.status;
  release.resolve();
  await admin.client.rpc("enable_webhook_endpoint", { endpoint_id: target.id });
  await until(() => settled(target.id, 1));
  assert.deepEqual(receiver.received.map((got) => got.id), [sample, sample]);
  const log = ok(
    await admin.client.from("webhook_attempts").select("number, outcome, worker, status")
      .eq("delivery_id", sample).order("number"),
  );
  assert.deepEqual(log.map(({ number, outcome }) => [number, outcome]), [[1, "lost"], [
    2,
    "delivered",
  ]]);
  assert.equal(log[0]?.worker, "doomed");
});

Deno.test("WHK-W04: the events of a resource arrive in order, whatever fails between", async () => {
  await set({ retry_base_seconds: 0.05, retry_factor: 1, maximum_attempts: 100 });
  const { admin, id } = await organization();
  const accepted: string[] = [];
  await using receiver = receive((got) => {
    // Every fourth answer is a failure.
    if (crypto.getRandomValues(new Uint8Array(1))[0]! < 64) {
      return new Response("", { status: 503 });
    }
    accepted.push(resourceOf(got));
    return new Response("thank you");
  });
  const target = await endpoint(admin, id, receiver, { ordering: "resource" });
  const working = Array.from(
    { length: 6 },
    (_, index) => work(`order-${index}`, { wait: 6000, interval: 50, batch: 10 }),
  );
  const sql = connect(1);
  const expected: string[] = [];
  for (let index = 0; index < 60; index++) {
    const [row] = await sql`
      select bulwark.log_audit_event(
        'data.read', 'look', ${id}, 'public.reports', ${`r${index % 4}`}
      ) as id
    `;
    expected.push(row?.["id"]);
  }
  await sql.end();
  await Promise.all(working);
  await until(() => settled(target.id, 60));
  assert.equal(accepted.length, 60);
  const order = receiver.received.reduce((seen, { body }) => {
    const { data } = JSON.parse(body);
    const list = seen.get(data.resource_id) ?? [];
    if (list.at(-1) !== data.id) list.push(data.id);
    return seen.set(data.resource_id, list);
  }, new Map<string, string[]>());
  for (const [resource, ids] of order) {
    const wanted = expected.filter((_, index) => `r${index % 4}` === resource);
    assert.deepEqual(ids, wanted, "each is retried until it is through, and none overtakes it");
  }
});

Deno.test("WHK-W05: an endpoint in order as a whole gets all events one after the other", async () => {
  await set({ retry_base_seconds: 0.05, retry_factor: 1, maximum_attempts: 100 });
  const { admin, id } = await organization();
  let under = 0;
  let most = 0;
  await using receiver = receive(async (_, index) => {
    most = Math.max(most, ++under);
    await new Promise((resolve) => setTimeout(resolve, 5));
    under--;
    return new Response("", { status: index % 7 === 3 ? 500 : 200 });
  });
  const target = await endpoint(admin, id, receiver, { ordering: "endpoint" });
  await cause(id, 40);
  await Promise.all(
    Array.from({ length: 5 }, (_, index) => work(`line-${index}`, { wait: 4000, interval: 50 })),
  );
  await until(() => settled(target.id, 40));
  const order = receiver.received.map(resourceOf).filter((resource, index, all) =>
    resource !== all[index - 1]
  );
  assert.deepEqual(order, Array.from({ length: 40 }, (_, index) => String(index)));
  assert.equal(most, 1, "never two at once");
});

Deno.test("WHK-W06: an endpoint that hangs keeps no worker from the others", async () => {
  await set({ retry_base_seconds: 3600 });
  const { admin, id } = await organization();
  const release = Promise.withResolvers<void>();
  await using hanging = receive(async () => {
    await release.promise;
    return new Response();
  });
  await using quick = receive();
  const bad = await endpoint(admin, id, hanging);
  const good = await endpoint(admin, id, quick);
  await cause(id, 30);
  await until(() => settled(good.id, 30));
  // The hanging attempts were still running, so no delivery waited for them.
  assert.equal((await ledger(bad.id)).reduce((sum, { logged }) => sum + logged, 0), 0);
  release.resolve();
});

Deno.test("WHK-W07: a dead letter is replayed, one or a range, under the same id", async () => {
  await set({ retry_base_seconds: 0.05, retry_factor: 1, maximum_attempts: 2 });
  const { admin, id } = await organization();
  let open = false;
  await using receiver = receive(() => new Response("", { status: open ? 200 : 500 }));
  const target = await endpoint(admin, id, receiver);
  const before = new Date(Date.now() - 60_000).toISOString();
  await cause(id, 5);
  await until(async () =>
    (await ledger(target.id)).filter((d) => d.status === "dead").length === 5
  );
  open = true;
  const [first] = await ledger(target.id);
  assert.ok(first);
  const replayed = await admin.client.rpc("replay_webhook_delivery", { delivery_id: first.id });
  assert.equal(replayed.error, null);
  await until(async () => (await ledger(target.id))[0]?.status === "delivered");
  const range = await admin.client.rpc("replay_webhook_deliveries", {
    endpoint_id: target.id,
    since: before,
    until: new Date(Date.now() + 60_000).toISOString(),
  });
  assert.equal(range.data, 4, "the one that arrived is none of them");
  await until(() => settled(target.id, 5));
  assert.equal(counts(receiver.received).size, 5);
  for (const row of await ledger(target.id)) assert.deepEqual([row.attempts, row.logged], [3, 3]);
});

Deno.test("WHK-W08: an endpoint that keeps failing is disabled, and its owners are told", async () => {
  await set({
    retry_base_seconds: 0.05,
    retry_factor: 1,
    maximum_attempts: 10,
    disable_after_failures: 4,
    disable_after_hours: 0,
  });
  const { admin, id } = await organization();
  await using failing = receive(() => new Response("", { status: 500 }));
  await using gone = receive(() => new Response("", { status: 410 }));
  await using watching = receive();
  const bad = await endpoint(admin, id, failing);
  const left = await endpoint(admin, id, gone);
  await endpoint(admin, id, watching, {
    subscriptions: [{ pattern: "security.webhook_endpoint_disabled" }],
  });
  await cause(id, 2);
  await watching.until(({ length }) => length === 2);
  const reasons = ok(
    await admin.client.from("webhook_endpoints").select("id, disabled_reason")
      .in("id", [bad.id, left.id]),
  );
  assert.deepEqual(
    new Map(reasons.map(({ id, disabled_reason }) => [id, disabled_reason])),
    new Map([[bad.id, "failing"], [left.id, "gone"]]),
  );
  const events = ok(
    await admin.client.from("security_events").select("subject")
      .eq("event_type", "webhook_endpoint_disabled"),
  );
  assert.deepEqual(events.map(({ subject }) => subject).sort(), [bad.id, left.id].sort());
});
