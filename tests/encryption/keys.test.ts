/** Rotation and shredding through the function `bulwark-encryption`, and the first key. */
import assert from "node:assert/strict";
import {
  addContacts,
  call,
  done,
  findAll,
  makeContacts,
  readContacts,
  table,
  work,
} from "./support.ts";
import { connect, ok, schedulerSecret, service } from "../support.ts";

Deno.test("ENC-F07: a rotated data key re-encrypts every row; reads and finds work all the while", async () => {
  const acme = await makeContacts();
  const emails = Array.from({ length: 60 }, (_, row) => `person-${row}@example.com`);
  const ids = await addContacts(acme, emails);
  const sql = connect(1);
  try {
    for (const purpose of ["field", "index"]) {
      const before =
        await sql`select id, email, email_index from contacts where organization_id = ${acme.organization}`;
      const rotated = await done(acme.admin.token, "rotate", {
        organization_id: acme.organization,
        purpose,
      });
      assert.deepEqual(rotated, { organization_id: acme.organization, purpose, version: 2 });
      assert.equal(Object.values(await readContacts(acme.analyst, ids)).length, 60);
      const find = { table: "contacts", organization_id: acme.organization, column: "email" };
      // The stack's own worker may change the key between two pages: then a row is on both.
      const found = async () => [
        ...new Set(await findAll(acme.analyst.token, { ...find, value: emails[7] })),
      ];
      assert.deepEqual(await found(), [ids[7]]);
      for (;;) if (!(await work({ milliseconds: 200, batch_size: 7 })).more) break;
      const after =
        await sql`select id, email, email_index from contacts where organization_id = ${acme.organization}`;
      const key = (text: string) => text.split(".").at(-2);
      const column = purpose === "field" ? "email" : "email_index";
      const old = new Set(before.map((row) => key(row[column])));
      assert.deepEqual([old.size, after.length], [1, 60]);
      assert.ok(after.every((row) => !old.has(key(row[column]))), "all rows are under the new key");
      assert.deepEqual(await found(), [ids[7]]);
      assert.deepEqual(
        await readContacts(acme.analyst, ids),
        Object.fromEntries(ids.map((id, row) => [id, emails[row]!])),
      );
    }
    const progress = ok(
      await acme.admin.client.rpc("encryption_progress", { organization_id: acme.organization }),
    );
    assert.deepEqual(
      progress.filter(({ total }) => total > 0).map((
        { purpose, state, total, done, failed },
      ) => [purpose, state, total, done, failed]),
      [["index", "settling", 60, 60, 0], ["field", "settling", 60, 60, 0]],
    );
    const denied = await acme.analyst.client.rpc("encryption_progress", {
      organization_id: acme.organization,
    });
    assert.equal(denied.error?.details, "RBAC_PERMISSION_DENIED");
  } finally {
    await sql.end();
  }
});

Deno.test("ENC-F08: a rotated key-encryption key rewraps data keys and touches no row", async () => {
  const acme = await makeContacts();
  const ids = await addContacts(acme, ["ada@example.com"]);
  const read = async () => (await table(acme.analyst).select("email").eq("id", ids[0])).data;
  const before = await read();
  for (const key of ["local-2", "local-1"]) {
    const { left_to_rewrap } = await work({ key_encryption_key: key });
    assert.equal(left_to_rewrap, false);
    const status = ok(await service().rpc("key_encryption_status"));
    for (const { id, is_current, data_keys } of status) {
      assert.deepEqual([is_current, data_keys > 0], [id === key, id === key], id);
    }
    assert.deepEqual(await readContacts(acme.analyst, ids), { [ids[0]!]: "ada@example.com" });
  }
  assert.deepEqual(await read(), before);
  const unknown = await call(schedulerSecret, "work", { key_encryption_key: "nobody" });
  assert.deepEqual([unknown.status, unknown.body.code], [503, "ENCRYPTION_KEY_UNAVAILABLE"]);
});

Deno.test("ENC-F09: a shredded organization's texts are gone at once, and say so", async () => {
  const acme = await makeContacts();
  const globex = await makeContacts();
  const ids = await addContacts(acme, ["ada@example.com"]);
  const others = await addContacts(globex, ["eve@example.com"]);
  await readContacts(acme.analyst, ids);
  const { slug } = ok(
    await acme.admin.client.from("organizations").select("slug").eq("id", acme.organization)
      .single(),
  );
  const shred = (client: typeof acme.admin.client, confirm_slug: string) =>
    client.rpc("shred_organization", { organization_id: acme.organization, confirm_slug });
  assert.equal((await shred(acme.admin.client, slug)).error?.details, "RBAC_PERMISSION_DENIED");
  assert.equal((await shred(service(), "other")).error?.details, "RBAC_UNKNOWN_ORGANIZATION");
  assert.equal(ok(await shred(service(), slug)), 2);
  const decrypt = {
    table: "contacts",
    columns: ["email"],
    primary_keys: ids,
  };
  const { rows: [gone] } = await done(acme.analyst.token, "decrypt", decrypt);
  assert.deepEqual([gone.primary_key, gone.error.code], [ids[0], "ENCRYPTION_KEY_DESTROYED"]);
  const rows = [{ primary_key: crypto.randomUUID(), fields: { email: "x" } }];
  for (
    const [path, body] of [
      ["encrypt", { table: "contacts", organization_id: acme.organization, rows }],
      ["find", {
        table: "contacts",
        organization_id: acme.organization,
        column: "email",
        value: "x",
      }],
    ] as const
  ) {
    const answer = await call(acme.analyst.token, path, body);
    assert.deepEqual([answer.status, answer.body.code], [410, "ENCRYPTION_KEY_DESTROYED"], path);
  }
  const again = await call(acme.admin.token, "rotate", { organization_id: acme.organization });
  assert.equal(again.body.code, "ENCRYPTION_KEY_DESTROYED");
  assert.deepEqual(await readContacts(globex.analyst, others), { [others[0]!]: "eve@example.com" });
  const { data } = await acme.admin.client.from("audit_logs").select("severity, details")
    .eq("organization_id", acme.organization).eq("event_type", "encryption.keys_destroyed");
  assert.deepEqual(data, [{ severity: "critical", details: { slug, data_keys: 2 } }]);
});

Deno.test("ENC-F10: ids in capitals are the ids that they are, from an organization's first key on", async () => {
  const acme = await makeContacts();
  // Swift writes UUIDs in capitals. The same requests create the organization's first keys.
  const organization_id = acme.organization.toUpperCase();
  await done(acme.admin.token, "rotate", { organization_id });
  await done(acme.admin.token, "rotate", { organization_id, purpose: "index" });
  const id = crypto.randomUUID();
  const { rows: [row] } = await done(acme.analyst.token, "encrypt", {
    table: "contacts",
    organization_id,
    rows: [{ primary_key: id.toUpperCase(), fields: { email: "ada@example.com" } }],
  });
  assert.equal(row.primary_key, id);
  const { error } = await table(acme.analyst).insert({
    id: id.toUpperCase(),
    organization_id,
    name: "Ada",
    ...row.fields,
  });
  assert.equal(error, null);
  assert.deepEqual(await readContacts(acme.analyst, [id]), { [id]: "ada@example.com" });
  const find = { table: "contacts", organization_id, column: "email", value: "ada@example.com" };
  assert.deepEqual(await done(acme.analyst.token, "find", find), {
    primary_keys: [id],
    next: null,
  });
  const wrong = await call(acme.analyst.token, "encrypt", {
    table: "contacts",
    organization_id,
    rows: [{ primary_key: "1", fields: { email: "ada@example.com" } }],
  });
  assert.deepEqual([wrong.status, wrong.body.code], [400, "INVALID_INPUT"]);
});
