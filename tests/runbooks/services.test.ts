/** The runbooks of services around the database: webhooks, Redis, and data keys that run out. */
import assert from "node:assert/strict";
import { redisServer, startRedis } from "../../scripts/testing/redis.ts";
import { addContacts, makeContacts, readContacts } from "../encryption/support.ts";
import { callFunction, createOrganization, signUp } from "../support.ts";
import { cause, endpoint, receive, until } from "../webhooks/support.ts";
import { restart, runbookTest } from "./page.ts";

runbookTest(
  "RUN-09: deliveries that were given up arrive, and another's endpoint is left alone",
  "webhook-backlog",
  async (
    page,
    sql,
  ) => {
    await sql`
    update bulwark.settings set value = '1'
    where name in ('webhooks.maximum_attempts', 'webhooks.retry_base_seconds')`;
    const [ada, eve] = [await signUp("ada"), await signUp("eve")];
    const [acme, globex] = [await createOrganization(ada), await createOrganization(eve)];
    let away = true;
    await using receiver = receive(() =>
      away ? new Response("overloaded", { status: 503 }) : new Response("thank you")
    );
    await using other = receive();
    const { id } = await endpoint(ada, acme, receiver);
    const { id: theirs } = await endpoint(eve, globex, other);
    const since = new Date(Date.now() - 60_000).toISOString();
    const values = { "endpoint id": id, since };
    await cause(acme, 3);
    await cause(globex, 1);
    await until(async () => {
      const dead = await sql`
      select from bulwark.webhook_deliveries where endpoint_id = ${id} and status = 'dead'`;
      return dead.length === 3;
    });
    await other.until((received) => received.length === 1);

    const [state] = await page.run("Is it the worker or a receiver?");
    assert.deepEqual(
      state?.rows.filter((row) => [id, theirs].includes(row.id)).map((row) => [row.id, row.dead]),
      [[id, "3"]],
    );
    const [called] = await page.run("Nobody was delivered to");
    assert.match(called?.output ?? "", /^\{"/);
    const [attempts] = await page.run("One endpoint fails", values);
    assert.deepEqual(
      [...new Set(attempts?.rows.map(({ outcome, status }) => `${outcome} ${status}`))],
      ["rejected 503"],
    );
    const [before] = await page.run("It is over when", values);
    assert.deepEqual(before?.rows, [{ dead: "3", late: "0" }]);
    await page.run("All are slow");
    await page.run("Take a receiver out", values, { blocks: [0] });
    const [disabled] = await sql`
    select disabled_reason from bulwark.webhook_endpoints where id = ${id}`;
    assert.equal(disabled?.disabled_reason, "manual");
    away = false;
    await page.run("Take a receiver out", values, { blocks: [1] });

    const [replayed] = await page.run("Send what was given up", values);
    assert.equal(replayed?.rows[0]?.replayed, 3);
    const first = receiver.received.slice(0, 3).map((got) => got.id).sort();
    await receiver.until((received) => received.length >= 6);
    assert.deepEqual(receiver.received.slice(3).map((got) => got.id).sort(), first, "the same ids");
    assert.equal(other.received.length, 1);
    await until(async () => {
      const [over] = await page.run("It is over when", values);
      return over?.rows[0]?.dead === "0" && over?.rows[0]?.late === "0";
    });
  },
);

if (redisServer) {
  runbookTest(
    "RUN-10: functions answer without Redis, and use it again when it is back",
    "redis-outage",
    async (
      page,
    ) => {
      const redis = await startRedis();
      page.set("REDIS_URL", redis.url);
      const values = { "address of redis": redis.url };
      const caller = await signUp("caller");
      const ask = async () => {
        const answer = await callFunction("rbac?permission=org:read", { token: caller.token });
        await answer.body?.cancel();
        return answer.status;
      };
      try {
        await page.run("Go on without it", values, { blocks: [1] });
        // A caller without this permission. Before that, the database may be away for a moment.
        const usual = 403;
        await until(async () => await ask() === usual);
        const [up] = await page.run("It is over when", values);
        assert.equal(up?.output.trim(), "PONG");
        // The first command of a function connects, which may take longer than it waits.
        await until(async () => {
          await ask();
          const [, buckets] = await page.run("It is over when", values);
          return /^bulwark:bucket:/.test(buckets?.output ?? "");
        });

        await redis.kill();
        for (let times = 0; times < 5; times++) {
          assert.equal(await ask(), usual, "it answers as before");
        }
        const [silent] = await page.run("What Redis says");
        assert.match(silent?.output ?? "", /no answer/);
        const log = () => Deno.readTextFile(Deno.env.get("BULWARK_TEST_LOG") ?? "");
        await until(async () => /Redis is not in use/.test(await log()));
        await until(async () => {
          const [counted] = await page.run("Symptoms");
          return /^bulwark_cache_unavailable_total.* [1-9]/m.test(counted?.output ?? "");
        });

        await redis.start();
        await until(async () => (await ask(), /Redis is in use again/.test(await log())));
        await until(async () => {
          await ask();
          const [, back] = await page.run("It is over when", values);
          return /^bulwark:bucket:/.test(back?.output ?? "");
        });

        // Or without it for longer: limits are in Postgres then, and none is in Redis.
        await redis.kill();
        await page.run("Go on without it", values, { blocks: [0] });
        assert.equal(await ask(), usual);
      } finally {
        await restart({ REDIS_URL: null });
        await redis.stop();
      }
    },
  );
}

runbookTest(
  "RUN-11: a data key at its limit is replaced, and old values still decrypt",
  "key-exhaustion",
  async (
    page,
    sql,
  ) => {
    const [mine, theirs] = [await makeContacts(), await makeContacts()];
    const [id = ""] = await addContacts(mine, ["ada@example.com"]);
    await addContacts(theirs, ["eve@example.com"]);
    const values = { "organization id": mine.organization };
    const near = async () => {
      const [found] = await page.run("Symptoms");
      return found?.rows.map(({ organization_id }) => organization_id) ?? [];
    };
    assert.ok(!(await near()).includes(mine.organization));
    await sql`
    update bulwark_private.data_keys set messages = 1073741000
    where organization_id = ${mine.organization} and purpose = 'field'`;
    assert.ok((await near()).includes(mine.organization));
    assert.ok(!(await near()).includes(theirs.organization));
    const [before] = await page.run("It is over when", values);
    assert.deepEqual(before?.rows.map(({ has_room }) => has_room), [false]);

    await page.run("Make a new version now", values);
    const [callers] = await page.run("Why so fast?", values);
    assert.equal(callers?.rows[0]?.actor_id, mine.analyst.id);
    const [after] = await page.run("It is over when", values);
    assert.deepEqual(after?.rows.map(({ version, has_room }) => [version, has_room]), [[
      "2",
      true,
    ]]);
    assert.ok(!(await near()).includes(mine.organization));
    assert.deepEqual(await readContacts(mine.analyst, [id]), { [id]: "ada@example.com" });
    await addContacts(mine, ["grace@example.com"]);
  },
);
