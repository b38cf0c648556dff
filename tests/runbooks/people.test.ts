/** The runbooks of people: the last administrator, and everybody's second factors. */
import assert from "node:assert/strict";
import { call, codeAt, enrolled, signInAgain } from "../mfa/support.ts";
import { anonymous, createOrganization, join, ok, signUp } from "../support.ts";
import { runbookTest } from "./page.ts";

runbookTest(
  "RUN-04: an organization gets an administrator again, and only that one",
  "locked-out-administrator",
  async (
    page,
    sql,
  ) => {
    const [lost, heir, foreign] = [
      await enrolled("lost"),
      await signUp("heir"),
      await signUp("eve"),
    ];
    const organization = await createOrganization(lost);
    const other = await createOrganization(foreign);
    await join(lost, organization, heir, "viewer");
    const listed = async () => {
      const [found] = await page.run("Symptoms");
      return found?.rows.map(({ id }) => id).filter((id) => [organization, other].includes(id));
    };
    const administers = async (id: string) => {
      const [answer] = await page.run("It is over when", {
        "user id": id,
        "organization id": organization,
      });
      return answer?.rows[0]?.administers;
    };
    assert.deepEqual(await listed(), []);

    // The mailbox and the phone are lost, and an address is blocked.
    const address = `new-${crypto.randomUUID().slice(0, 8)}@people.test`;
    const account = { "user id": lost.id, "new address": address, "ticket": "7" };
    await page.run("The account is there, its password or mailbox is lost", account);
    const again = await signInAgain({ ...lost, email: address });
    const before = await call(again.token, "");
    assert.equal(before.body.satisfied, false);
    const ended = await lost.client.rpc("my_sessions");
    assert.ok(ended.error, "earlier sessions are over");
    const [reset] = await page.run("The account is there, its second factor is lost", account);
    assert.equal(reset?.rows[0]?.completed, true);
    assert.equal((await call(again.token, "")).body.enrolled, false);
    const [{ id: block }] = await sql`
    insert into bulwark.rate_limit_blocks (kind, identifier, rule, step, user_id, expires_at)
    values ('pair', ${crypto.randomUUID()}, 'login', 1, ${lost.id}, now() + interval '1 hour')
    returning id
  ` as unknown as [{ id: string }];
    const [blocks] = await page.run("The account is blocked", { ...account, "block id": block });
    assert.deepEqual(blocks?.rows.map(({ id }) => id), [block]);
    const [left] = await page.run("The account is blocked", account, { blocks: [0] });
    assert.deepEqual(left?.rows, []);

    // The account is banned for good.
    assert.equal(await administers(lost.id), true);
    await sql`update auth.users set banned_until = now() + interval '10 years' where id = ${lost.id}`;
    assert.equal(await administers(lost.id), false);
    assert.deepEqual(await listed(), [organization]);
    const [members] = await page.run("The account is gone, or must not come back", {
      "organization id": organization,
      "user id": heir.id,
    });
    assert.ok(members?.rows.some(({ user_id }) => user_id === heir.id));
    assert.equal(await administers(heir.id), true);
    assert.equal(await administers(foreign.id), false);
    assert.deepEqual(await listed(), []);
    const recorded = await sql`
    select actor_type, database_user from bulwark.audit_logs
    where event_type = 'authz.role_assigned' and organization_id = ${organization}
    order by id desc limit 1
  `;
    assert.deepEqual([...recorded], [{ actor_type: "database", database_user: "postgres" }]);

    await page.run("Nobody is super_admin", { "user id": heir.id });
    assert.equal(ok(await heir.client.rpc("is_super_admin")), true);
  },
);

runbookTest(
  "RUN-05: a wave of accounts loses its factors and enrolls anew, the others keep theirs",
  "lost-second-factors",
  async (
    page,
    sql,
  ) => {
    const [ada, bob, eve] = [await enrolled("ada"), await enrolled("bob"), await enrolled("eve")];
    const [organization, other] = [await createOrganization(ada), await createOrganization(eve)];
    await join(ada, organization, bob, "viewer");
    for (const [admin, id] of [[ada, organization], [eve, other]] as const) {
      ok(await admin.client.rpc("set_mfa_policy", { organization_id: id, required: true }));
    }
    const values = {
      "user ids": `${ada.id},${bob.id}`,
      "organization id": organization,
      ticket: "8",
    };
    const [clock] = await page.run("Is it the keys or the clock?");
    assert.equal(clock?.output.trim(), "t");

    const [wave, reset] = await page.run("Reset a wave", values);
    const order = wave?.rows.map(({ user_id }) => user_id) ?? [];
    assert.ok(order.indexOf(ada.id) < order.indexOf(bob.id), "administrators come first");
    assert.deepEqual(reset?.rows.map(({ completed }) => completed), [true, true]);
    assert.ok((await ada.client.rpc("my_sessions")).error, "its sessions are over");
    assert.equal(ok(await eve.client.rpc("my_sessions")).length > 0, true, "another's are not");
    const missing = async () => {
      const [members] = await page.run("It is over when", values);
      return members?.rows.map(({ user_id }) => user_id)
        .filter((id) => [ada.id, bob.id, eve.id].includes(id)).sort();
    };
    assert.deepEqual(await missing(), [ada.id, bob.id].sort());

    for (const { email, password } of [ada, bob]) {
      const { data } = await anonymous().auth.signInWithPassword({ email, password });
      const token = data.session?.access_token ?? "";
      const begun = await call(token, "/enroll", { name: "New phone" });
      assert.equal(begun.status, 200);
      const code = codeAt(begun.body.secret, Date.now() - 30_000);
      assert.equal((await call(token, "/activate", { code })).status, 200);
    }
    assert.deepEqual(await missing(), []);
    const open = await sql`
    select from bulwark.security_events
    where event_type = 'mfa_reset' and resolved_at is null and user_id in (${ada.id}, ${bob.id})
  `;
    assert.equal(open.length, 0);
  },
);
