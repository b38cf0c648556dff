/** The runbooks of leaks: an API key, the project's secret key, an encryption key. */
import assert from "node:assert/strict";
import { exchange, issueKey, keyClient } from "../api_keys/support.ts";
import { addContacts, call, makeContacts, readContacts, work } from "../encryption/support.ts";
import { createOrganization, installHook, ok, secretKey, service, signUp } from "../support.ts";
import { restart, runbookTest } from "./page.ts";

const scratch = await Deno.makeTempDir({ prefix: "bulwark-leaks-" });
Deno.test.afterAll(() => Deno.remove(scratch, { recursive: true }));

/** The encryption keys of the stack, as the pages leave them. */
let keysInUse = Deno.env.get("BULWARK_TEST_ENCRYPTION_KEYS") ?? "";

async function fileWith(text: string): Promise<string> {
  const file = `${scratch}/${crypto.randomUUID()}`;
  await Deno.writeTextFile(file, `${text}\n`);
  return file;
}

runbookTest("RUN-01: a leaked API key is revoked, what it did is found", "leaked-api-key", async (
  page,
  sql,
) => {
  await installHook();
  const owner = await signUp("owner");
  const organization = await createOrganization(owner);
  const [leaked, other, third] = [
    await issueKey(owner, organization),
    await issueKey(owner, organization),
    await issueKey(owner, organization),
  ];
  ok(
    await keyClient(leaked.api_key).from("reports").insert({
      organization_id: organization,
      title: "By an intruder",
    }).select(),
  );
  const values = { "file with the key": await fileWith(leaked.api_key), "key id": leaked.id };
  assert.equal((await exchange(leaked.api_key)).status, 200);
  const [answering] = await page.run("It is over when", values, { blocks: [0] });
  assert.equal(answering?.output.trim(), "200", "before, it is not over");

  await page.run("Revoke it", values);
  const [found] = await page.run("Revoke it by its first characters", {
    "what you have of it": third.api_key.slice(0, 20),
    "key id": third.id,
  });
  assert.deepEqual(found?.rows.map(({ id }) => id), [third.id]);

  const [acts, around] = await page.run("Find out what it did", values);
  assert.deepEqual(acts?.rows.map(({ resource_type }) => resource_type), ["public.reports"]);
  assert.ok(around?.rows.some(({ actor_id }) => actor_id === owner.id), "same address");

  await new Promise((resolve) => setTimeout(resolve, 600));
  const [refused] = await page.run("It is over when", values);
  assert.equal(refused?.output.trim(), "401");
  assert.equal((await exchange(third.api_key)).status, 401);
  assert.equal((await exchange(other.api_key)).status, 200, "another key goes on");
  const open = await sql`
    select from bulwark.security_events where subject = ${leaked.id} and resolved_at is null`;
  assert.equal(open.length, 0);
});

runbookTest(
  "RUN-02: a leaked service key is replaced, what it gave is taken back",
  "leaked-service-key",
  async (
    page,
  ) => {
    const intruder = await signUp("intruder");
    const bystander = await signUp("bystander");
    const since = new Date(Date.now() - 1000).toISOString();
    // With the key anybody is made anything.
    ok(await service().rpc("grant_role", { user_id: intruder.id, role: "super_admin" }));
    assert.equal(ok(await intruder.client.rpc("is_super_admin")), true);

    const values = {
      since,
      "file with the old key": await fileWith(secretKey),
      "file for the scheduler's secret": `${scratch}/scheduler`,
      "user id": intruder.id,
      "role": "super_admin",
      "organization id or null": "null",
    };
    const [before] = await page.run("It is over when", values, { blocks: [0] });
    assert.deepEqual(before?.output.trim().split("\n"), ["200", "200"], "before, it is not over");

    // The dashboard's part: a new key in the place of the old one.
    const fresh = `sb_secret_${crypto.randomUUID().replaceAll("-", "")}`;
    await restart({ SUPABASE_SECRET_KEY: fresh });
    page.set("SUPABASE_SECRET_KEY", fresh);
    await page.run("Replace it", values);
    page.set("BULWARK_SCHEDULER_SECRET", (await Deno.readTextFile(`${scratch}/scheduler`)).trim());

    const [acts] = await page.run("Find out what it did", values);
    assert.ok(acts?.rows.some(({ resource_type }) => resource_type === "bulwark.user_roles"));
    const [grants, , , sessions] = await page.run("Take back what it gave", values);
    assert.deepEqual(grants?.rows.map(({ user_id }) => user_id), [intruder.id]);
    assert.ok(sessions?.rows.some(({ user_id }) => user_id === intruder.id));
    assert.equal(ok(await bystander.client.rpc("is_super_admin")), false);
    const still = await intruder.client.rpc("list_metrics");
    assert.ok(still.error, "its role and its session are gone");

    const [keys, intact, signed] = await page.run("It is over when", values);
    assert.deepEqual(keys?.output.trim().split("\n"), ["401", "200"]);
    assert.deepEqual(intact?.rows.map(({ check_audit_log }) => check_audit_log), [true]);
    assert.match(signed?.output ?? "", /"tree_size":\d+/);
    // Later tests of this file use the key that support.ts has.
    await restart({
      SUPABASE_SECRET_KEY: null,
      BULWARK_SCHEDULER_SECRET: null,
      BULWARK_METRICS_TOKEN: null,
    });
  },
);

runbookTest(
  "RUN-03: a leaked encryption key wraps and encrypts nothing any more",
  "leaked-encryption-key",
  async (
    page,
    sql,
  ) => {
    await sql`update bulwark.settings set value = '0' where name = 'encryption.settle_seconds'`;
    const [mine, theirs] = [await makeContacts(), await makeContacts()];
    const [id] = await addContacts(mine, ["ada@example.com"]);
    const [other] = await addContacts(theirs, ["eve@example.com"]);
    const stored = () => sql`select id, email, email_index from public.contacts order by id`;
    const before = await stored();

    const file = `${scratch}/key`;
    const values = {
      "file with the new key": file,
      "the present keys": Deno.env.get("BULWARK_TEST_ENCRYPTION_KEYS") ?? "",
    };
    await page.run("Make a new key", values);
    await page.run("Wrap everything under it", values);
    await page.run("Replace the data keys", values);
    const [status] = await page.run("Remove the old key", values);
    keysInUse = (await Deno.readTextFile(file)).trim();
    const fresh = keysInUse.split(":")[0];
    assert.deepEqual(
      status?.rows.filter(({ data_keys }) => Number(data_keys) > 0).map(({ id }) => id),
      [fresh],
    );
    // Each value and each index is another, and each person reads as before, without the old key.
    const after = await stored();
    for (const [row, { email, email_index }] of before.entries()) {
      assert.notEqual(after[row]?.email, email);
      if (email_index) assert.notEqual(after[row]?.email_index, email_index);
    }
    assert.deepEqual(await readContacts(mine.analyst, [id ?? ""]), {
      [id ?? ""]: "ada@example.com",
    });
    assert.deepEqual(await readContacts(theirs.analyst, [other ?? ""]), {
      [other ?? ""]: "eve@example.com",
    });
    let [open, left] = await page.run("It is over when", values);
    for (let tries = 0; open?.rows.length !== 0 && tries < 60; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      [open, left] = await page.run("It is over when", values);
    }
    assert.deepEqual(open?.rows, []);
    assert.deepEqual(left?.rows, [{ id: fresh }]);
  },
);

runbookTest(
  "RUN-15: without a lost key encryption goes on, and its values come back with it",
  "lost-encryption-key",
  async (
    page,
  ) => {
    const mine = await makeContacts();
    const [id = ""] = await addContacts(mine, ["ada@example.com"]);
    const values = {
      "the keys that were found": keysInUse,
      "file with the new key": `${scratch}/new`,
    };
    const [needed] = await page.run("Look for it first", values);
    const key = String(needed?.rows[0]?.id);
    const [lost] = await page.run("Go on without it", { ...values, "key id": key });
    assert.ok(Number(lost?.rows[0]?.lost_data_keys) > 0);
    const answer = await call(mine.analyst.token, "decrypt", {
      table: "contacts",
      columns: ["email"],
      primary_keys: [id],
    });
    assert.match(JSON.stringify(answer.body), /ENCRYPTION_KEY_LOST/);
    const [later = ""] = await addContacts(mine, ["grace@example.com"]);
    assert.deepEqual(await readContacts(mine.analyst, [later]), { [later]: "grace@example.com" });
    for (let tries = 0;; tries++) {
      await work();
      const [listed] = await page.run("What is lost");
      const contacts = listed?.rows.find(({ table_name }) => table_name === "public.contacts") ??
        listed?.rows.find(({ table_name }) => table_name === "contacts");
      if (Number(contacts?.lost) > 0) break;
      assert.ok(tries < 40, "the lost values are not listed");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }

    await page.run("It turned up after all", { ...values, "key id": key });
    assert.deepEqual(await readContacts(mine.analyst, [id, later]), {
      [id]: "ada@example.com",
      [later]: "grace@example.com",
    });
    const [over] = await page.run("It is over when", values);
    assert.deepEqual(
      over?.rows.filter(({ is_lost, fault }) => is_lost || fault !== null),
      [],
    );
  },
);
