/** Function `bulwark-encryption` over HTTP: permissions, moved values, rotation, shredding. */
import assert from "node:assert/strict";
import { addContacts, call, done, makeContacts, readContacts, table, work } from "./support.ts";
import { connect, ok, schedulerSecret, service, signUp } from "../support.ts";

const uniform = {
  code: "ENCRYPTION_FAILED",
  message: "Cannot encrypt or decrypt: a value is not one that was encrypted for its place",
};

Deno.test("ENC-F01: a field is encrypted, stored, found and decrypted under the caller's rights", async () => {
  const acme = await makeContacts();
  const [ada, bob] = await addContacts(acme, ["Ada@Example.com", "bob@example.com"]);
  const { data } = await table(acme.analyst).select("email, email_index").eq("id", ada);
  assert.match(data[0].email, /^bw1\.a256gcm\./);
  assert.match(data[0].email_index, /^bwi1\./);
  assert.deepEqual(await readContacts(acme.analyst, [ada!, bob!]), {
    [ada!]: "Ada@Example.com",
    [bob!]: "bob@example.com",
  });
  const find = { table: "contacts", organization_id: acme.organization, column: "email" };
  const found = await done(acme.analyst.token, "find", { ...find, value: " ada@example.COM" });
  assert.deepEqual(found, { primary_keys: [ada], next: null });
  assert.deepEqual(await done(acme.analyst.token, "find", { ...find, value: "eve@example.com" }), {
    primary_keys: [],
    next: null,
  });
});

Deno.test("ENC-F02: without the permission there, nothing is encrypted, decrypted, found or rotated", async () => {
  const acme = await makeContacts();
  const globex = await makeContacts();
  const [id] = await addContacts(acme, ["ada@example.com"]);
  const organization_id = acme.organization;
  const rows = [{ primary_key: crypto.randomUUID(), fields: { email: "x" } }];
  const asks: [string, Record<string, unknown>][] = [
    ["encrypt", { table: "contacts", organization_id, rows }],
    ["find", { table: "contacts", organization_id, column: "email", value: "ada@example.com" }],
    ["rotate", { organization_id }],
  ];
  const stranger = await signUp("stranger");
  for (const person of [acme.viewer, globex.analyst, globex.admin, stranger]) {
    for (const [path, body] of asks) {
      const { status, body: { code } } = await call(person.token, path, body);
      assert.deepEqual([status, code], [403, "RBAC_PERMISSION_DENIED"], `${person.email} ${path}`);
    }
  }
  const decrypt = { table: "contacts", columns: ["email"], primary_keys: [id] };
  // The viewer sees the row and not its text; a member of another organization not even the row.
  assert.equal((await call(acme.viewer.token, "decrypt", decrypt)).status, 403);
  assert.deepEqual(await done(globex.analyst.token, "decrypt", decrypt), { rows: [] });
  assert.equal((await call(acme.analyst.token, "rotate", { organization_id })).status, 403);
  for (const path of ["encrypt", "decrypt", "find", "rotate", "work"]) {
    assert.equal((await call(null, path, {})).status, 401, path);
    assert.ok([400, 401].includes((await call("not.a.token", path, {})).status), path);
  }
  assert.equal((await call(acme.admin.token, "work", {})).status, 401);
});

Deno.test("ENC-F03: a value moved to another row or organization is refused, all alike", async () => {
  const acme = await makeContacts();
  const globex = await makeContacts();
  const [ada, bob] = await addContacts(acme, ["ada@example.com", "bob@example.com"]);
  const [eve] = await addContacts(globex, ["eve@example.com"]);
  const { data } = await table(acme.analyst).select("email, email_index").eq("id", ada);
  const email: string = data[0].email;
  const damaged = [
    [acme, bob, email],
    [globex, eve, email],
    [acme, ada, email.slice(0, -2) + (email.endsWith("AA") ? "BA" : "AA")],
    [acme, ada, email.slice(0, -4)],
    [acme, ada, email + "AAAA"],
    [acme, ada, email.replace(/^(bw1\.a256gcm\.).{22}/, `$1${"A".repeat(22)}`)],
  ] as const;
  for (const [organization, id, value] of damaged) {
    const written = await table(organization.analyst).update({ email: value }).eq("id", id);
    assert.equal(written.error, null);
    const decrypt = { table: "contacts", columns: ["email"], primary_keys: [id] };
    const { rows } = await done(organization.analyst.token, "decrypt", decrypt);
    assert.deepEqual(rows, [{ primary_key: id, error: uniform }]);
  }
  for (const value of ["ada@example.com", email.replace("bw1", "bw2"), ""]) {
    const refused = await table(acme.analyst).update({ email: value }).eq("id", ada);
    assert.equal(refused.error.code, "23514", "plaintext is refused by the table itself");
  }
});

Deno.test("ENC-F04: a false index leads nowhere", async () => {
  const acme = await makeContacts();
  const [ada, bob] = await addContacts(acme, ["ada@example.com", "bob@example.com"]);
  const { data } = await table(acme.analyst).select("email_index").eq("id", ada);
  await table(acme.analyst).update(data[0]).eq("id", bob);
  const find = { table: "contacts", organization_id: acme.organization, column: "email" };
  assert.deepEqual(await done(acme.analyst.token, "find", { ...find, value: "ada@example.com" }), {
    primary_keys: [ada],
    next: null,
  });
});

Deno.test("ENC-F05: each access is on record before it happens, without values", async () => {
  const acme = await makeContacts();
  const [ada] = await addContacts(acme, ["ada-on-record@example.com"]);
  await readContacts(acme.analyst, [ada!]);
  const { data } = await acme.admin.client.from("audit_logs")
    .select("event_type, action, actor_id, resource_type, details")
    .eq("organization_id", acme.organization).eq("event_type", "compliance.data_accessed")
    .order("id");
  assert.deepEqual(
    data,
    ["encrypt", "decrypt"].map((action) => ({
      event_type: "compliance.data_accessed",
      action,
      actor_id: acme.analyst.id,
      resource_type: "public.contacts",
      details: { columns: ["email"], primary_keys: [ada] },
    })),
  );
});

Deno.test("ENC-F06: what is not declared, or asked for badly, is a clear error", async () => {
  const { analyst, organization } = await makeContacts();
  const cases: [string, unknown, number, string][] = [
    [
      "decrypt",
      { table: "contacts", columns: ["name"], primary_keys: ["1"] },
      404,
      "ENCRYPTION_UNKNOWN_COLUMN",
    ],
    [
      "decrypt",
      { table: "user_roles", columns: ["id"], primary_keys: ["1"] },
      404,
      "ENCRYPTION_UNKNOWN_COLUMN",
    ],
    ["decrypt", { table: "contacts", columns: ["email"], primary_keys: [] }, 400, "INVALID_INPUT"],
    [
      "decrypt",
      { table: "contacts", columns: ["email"], primary_keys: Array(101).fill("1") },
      400,
      "INVALID_INPUT",
    ],
    [
      "decrypt",
      { table: "contacts", columns: ["email"], primary_keys: ["not a uuid"] },
      400,
      "INVALID_INPUT",
    ],
    ["encrypt", { table: "contacts", organization_id: null, rows: [] }, 400, "INVALID_INPUT"],
    [
      "encrypt",
      {
        table: "contacts",
        organization_id: organization,
        rows: [{ primary_key: crypto.randomUUID(), fields: { email: "\ud800" } }],
      },
      422,
      "ENCRYPTION_FAILED",
    ],
    ["nothing", {}, 404, "NOT_FOUND"],
  ];
  for (const [path, body, status, code] of cases) {
    const answer = await call(analyst.token, path, body);
    assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(body));
  }
});

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
      const found = () => done(acme.analyst.token, "find", { ...find, value: emails[7] });
      assert.deepEqual(await found(), { primary_keys: [ids[7]], next: null });
      for (;;) if (!(await work({ milliseconds: 200, batch_size: 7 })).more) break;
      const after =
        await sql`select id, email, email_index from contacts where organization_id = ${acme.organization}`;
      const key = (text: string) => text.split(".").at(-2);
      const column = purpose === "field" ? "email" : "email_index";
      const old = new Set(before.map((row) => key(row[column])));
      assert.deepEqual([old.size, after.length], [1, 60]);
      assert.ok(after.every((row) => !old.has(key(row[column]))), "all rows are under the new key");
      assert.deepEqual(await found(), { primary_keys: [ids[7]], next: null });
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
  assert.equal(unknown.status, 422);
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

Deno.test("ENC-F11: a row that somebody spoilt keeps nobody from finding the others", async () => {
  const acme = await makeContacts();
  const [ada, bob] = await addContacts(acme, ["ada@example.com", "bob@example.com"]);
  const { data } = await table(acme.analyst).select("email, email_index").eq("id", ada);
  // Both moved to another row, where the text cannot be decrypted.
  await table(acme.analyst).update(data[0]).eq("id", bob);
  const find = { table: "contacts", organization_id: acme.organization, column: "email" };
  assert.deepEqual(await done(acme.analyst.token, "find", { ...find, value: "ada@example.com" }), {
    primary_keys: [ada],
    next: null,
  });
});

Deno.test("ENC-F12: a number is bound as Postgres writes it, and in no other spelling", async () => {
  const acme = await makeContacts();
  const sql = connect(1);
  try {
    await sql.unsafe(`
      create table if not exists public.numbered (
        id bigint primary key, organization_id uuid not null, note text
      );
      alter table public.numbered enable row level security;
      grant select, insert on public.numbered to authenticated;
      create policy "Members" on public.numbered for select to authenticated
        using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
      create policy "Writers" on public.numbered for insert to authenticated
        with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
      select bulwark.declare_encrypted_column(
        'public.numbered', 'note', organization_column => 'organization_id'
      );
    `);
    const primary_key = "9007199254";
    const { rows: [row] } = await done(acme.analyst.token, "encrypt", {
      table: "numbered",
      organization_id: acme.organization,
      rows: [{ primary_key, fields: { note: "kept" } }],
    });
    await sql`
      insert into public.numbered values (${primary_key}, ${acme.organization}, ${row.fields.note})
    `;
    const decrypt = { table: "numbered", columns: ["note"], primary_keys: [primary_key] };
    assert.deepEqual(await done(acme.analyst.token, "decrypt", decrypt), {
      rows: [{ primary_key, fields: { note: "kept" } }],
    });
    for (const spelling of ["007", "+7", "7.0", " 7"]) {
      const { status } = await call(acme.analyst.token, "encrypt", {
        table: "numbered",
        organization_id: acme.organization,
        rows: [{ primary_key: spelling, fields: { note: "kept" } }],
      });
      assert.equal(status, 400, spelling);
    }
  } finally {
    await sql`drop table if exists public.numbered`;
    await sql`delete from bulwark_private.encrypted_columns where relation::oid not in (select oid from pg_class)`;
    await sql.end();
  }
});

Deno.test("ENC-F13: who has field after field decrypted is slowed down, and who rotates sooner", async () => {
  const acme = await makeContacts();
  const ask = (path: string, token: string) =>
    call(token, path, { organization_id: acme.organization });
  const statuses = async (path: string, token: string, times: number) => {
    const answers = await Promise.all(Array.from({ length: times }, () => ask(path, token)));
    return new Set(answers.map(({ status }) => status));
  };
  assert.deepEqual(await statuses("rotate", acme.viewer.token, 10), new Set([403]));
  assert.equal((await ask("rotate", acme.viewer.token)).status, 429);
  assert.deepEqual(await statuses("decrypt", acme.viewer.token, 100), new Set([400]));
  assert.ok((await statuses("decrypt", acme.viewer.token, 30)).has(429));
  assert.equal((await ask("decrypt", acme.analyst.token)).status, 400, "others are not");
});

Deno.test("ENC-F14: a record is found behind any number of copies of its index", async () => {
  const acme = await makeContacts();
  const globex = await makeContacts();
  const [ada, bob] = await addContacts(acme, ["ada@example.com", "bob@example.com"]);
  const [others] = await addContacts(globex, ["ada@example.com"]);
  const sql = connect(1);
  try {
    // A member who may write rows hides Ada behind 700 rows that sort before hers.
    await sql`
      insert into contacts (id, organization_id, name, email, email_index)
      select ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, a.organization_id,
        'Decoy', b.email, a.email_index
      from generate_series(1, 700) as n, contacts a, contacts b
      where a.id = ${ada!} and b.id = ${bob!}
    `;
    const find = { table: "contacts", organization_id: acme.organization, column: "email" };
    const asked = { ...find, value: "ada@example.com" };
    const found = await done(acme.analyst.token, "find", asked);
    assert.ok(found.primary_keys.includes(ada) || found.next !== null);
    assert.deepEqual(await findAll(acme.analyst.token, asked), [ada]);

    // More matches than fit in one answer are all found, once each.
    const many = await addContacts(acme, Array(99).fill("many@example.com"));
    many.push(...await addContacts(acme, Array(60).fill("many@example.com")));
    const first = await done(acme.analyst.token, "find", { ...find, value: "many@example.com" });
    assert.equal(first.primary_keys.length, 100);
    const all = await findAll(acme.analyst.token, { ...find, value: "many@example.com" });
    assert.deepEqual(all, many.sort());

    // A cursor gives no access to another organization.
    for (const cursor of ["nonsense", `${"A".repeat(22)}.no uuid`, `${"A".repeat(22)}`]) {
      const { status, body } = await call(acme.analyst.token, "find", { ...asked, cursor });
      assert.deepEqual([status, body.code], [400, "INVALID_INPUT"], cursor);
    }
    const asGlobex = { ...asked, organization_id: globex.organization, cursor: first.next };
    const inGlobex = await done(globex.analyst.token, "find", { ...asGlobex, cursor: null });
    assert.deepEqual(inGlobex, { primary_keys: [others], next: null });
    const foreign = await done(globex.analyst.token, "find", asGlobex);
    assert.ok(!foreign.primary_keys.includes(ada));
  } finally {
    await sql`delete from contacts where name = 'Decoy'`;
    await sql.end();
  }
});

/** All matches of a search, over as many answers as needed. */
async function findAll(token: string, asked: Record<string, unknown>): Promise<string[]> {
  const keys: string[] = [];
  for (let cursor: string | null = null;;) {
    const { primary_keys, next } = await done(token, "find", { ...asked, cursor });
    keys.push(...primary_keys);
    if (next === null) return keys;
    cursor = next;
  }
}

Deno.test("ENC-F15: a row that does not decrypt keeps none of the others back", async () => {
  const acme = await makeContacts();
  const globex = await makeContacts();
  const [ada, bob, eve] = await addContacts(acme, [
    "ada@acme.test",
    "bob@acme.test",
    "e@acme.test",
  ]);
  const [foreign] = await addContacts(globex, ["foreign@example.com"]);
  const { data } = await table(globex.analyst).select("email").eq("id", foreign);
  const { slug } = ok(
    await globex.admin.client.from("organizations").select("slug").eq("id", globex.organization)
      .single(),
  );
  ok(
    await service().rpc("shred_organization", {
      organization_id: globex.organization,
      confirm_slug: slug,
    }),
  );
  // A value of an organization whose keys are gone; its fault must not show in Acme's answer.
  await table(acme.analyst).update(data[0]).eq("id", bob);
  const asked = { table: "contacts", columns: ["email"], primary_keys: [ada, bob, eve] };
  const { rows } = await done(acme.analyst.token, "decrypt", asked);
  const byKey = Object.fromEntries(
    rows.map((row: { primary_key: string }) => [row.primary_key, row]),
  );
  assert.deepEqual(byKey[ada!].fields, { email: "ada@acme.test" });
  assert.deepEqual(byKey[bob!], { primary_key: bob, error: uniform });
  assert.deepEqual(byKey[eve!].fields, { email: "e@acme.test" });
});

Deno.test("ENC-F16: a text key is found whatever characters it has, and no odd input is a fault of ours", async () => {
  const acme = await makeContacts();
  const sql = connect(1);
  try {
    await sql.unsafe(`
      create table public.lettered (
        "the id" text primary key, organization_id uuid not null, note text
      );
      create table public.counted (id smallint primary key, organization_id uuid, note text);
      create table public.hidden (id uuid primary key, organization_id uuid not null, note text);
      alter table public.lettered enable row level security;
      alter table public.counted enable row level security;
      revoke all on public.hidden from anon, authenticated, service_role;
      grant select, insert on public.lettered, public.counted to authenticated;
      create policy "Members" on public.lettered for select to authenticated
        using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
      create policy "Members" on public.counted for select to authenticated
        using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
      select bulwark.declare_encrypted_column(
        'public.lettered', 'note', organization_column => 'organization_id', blind_index => true
      );
      select bulwark.declare_encrypted_column(
        'public.counted', 'note', organization_column => 'organization_id'
      );
      select bulwark.declare_encrypted_column(
        'public.hidden', 'note', organization_column => 'organization_id'
      );
    `);
    const odd = [
      "null",
      "a,b",
      'a"b',
      "a\\b",
      '\\"',
      "(a)",
      "{a}",
      "a b",
      " ",
      "NULL",
      "ä:.*%&",
      "true",
    ];
    const organization_id = acme.organization;
    const { rows } = await done(acme.analyst.token, "encrypt", {
      table: "lettered",
      organization_id,
      rows: odd.map((primary_key) => ({ primary_key, fields: { note: "the same" } })),
    });
    for (const { primary_key, fields } of rows) {
      await sql`
        insert into public.lettered values
          (${primary_key}, ${organization_id}, ${fields.note}, ${fields.note_index})
      `;
    }
    const asked = { table: "lettered", columns: ["note"] };
    for (const list of [odd, ...odd.map((key) => [key])]) {
      const { rows } = await done(acme.analyst.token, "decrypt", { ...asked, primary_keys: list });
      assert.deepEqual(
        rows.map((row: { primary_key: string }) => row.primary_key).sort(),
        [...list].sort(),
        JSON.stringify(list),
      );
    }
    const find = { table: "lettered", organization_id, column: "note", value: "the same" };
    assert.deepEqual((await findAll(acme.analyst.token, find)).sort(), [...odd].sort());
    const long = Array.from({ length: 100 }, (_, n) => `${n}`.padStart(100, "é,"));
    assert.deepEqual(
      await done(acme.analyst.token, "decrypt", { ...asked, primary_keys: long }),
      { rows: [] },
    );

    const fields = { note: "x" };
    const cases: [string, Record<string, unknown>, number, string][] = [
      ["decrypt", { ...asked, primary_keys: ["a\0b"] }, 400, "INVALID_INPUT"],
      ["decrypt", { ...asked, table: "a\0b", primary_keys: ["a"] }, 400, "INVALID_INPUT"],
      [
        "encrypt",
        { table: "lettered", organization_id, rows: [{ primary_key: "a\0", fields }] },
        400,
        "INVALID_INPUT",
      ],
      [
        "encrypt",
        { table: "counted", organization_id, rows: [{ primary_key: "32768", fields }] },
        400,
        "INVALID_INPUT",
      ],
      [
        "decrypt",
        { table: "counted", columns: ["note"], primary_keys: ["99999999999999999999"] },
        400,
        "INVALID_INPUT",
      ],
      ["find", { ...find, column: "a\0b" }, 400, "INVALID_INPUT"],
      [
        "decrypt",
        { table: "hidden", columns: ["note"], primary_keys: [crypto.randomUUID()] },
        404,
        "ENCRYPTION_TABLE_NOT_EXPOSED",
      ],
    ];
    for (const [path, body, status, code] of cases) {
      const answer = await call(acme.analyst.token, path, body);
      assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(body));
    }
  } finally {
    await sql`drop table if exists public.lettered, public.counted, public.hidden`;
    await sql`delete from bulwark_private.encrypted_columns where relation::oid not in (select oid from pg_class)`;
    await sql.end();
  }
});
