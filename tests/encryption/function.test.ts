/** Function `bulwark-encryption` over HTTP: permissions, moved values, inputs and limits. */
import assert from "node:assert/strict";
import { addContacts, call, done, makeContacts, readContacts, table } from "./support.ts";
import { connect, ok, service, signUp } from "../support.ts";

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

Deno.test("ENC-F17: a table may be named with its schema, which the Data API has to expose", async () => {
  const acme = await makeContacts();
  const [id] = await addContacts(acme, ["ada@example.com"]);
  const asked = { columns: ["email"], primary_keys: [id] };
  for (const table of ["contacts", "public.contacts"]) {
    assert.deepEqual(await done(acme.analyst.token, "decrypt", { table, ...asked }), {
      rows: [{ primary_key: id, fields: { email: "ada@example.com" } }],
    });
  }
  const sql = connect(1);
  try {
    await sql.unsafe(`
      create schema if not exists unexposed;
      create table if not exists unexposed.contacts (id uuid primary key, email text);
      select bulwark.declare_encrypted_column('unexposed.contacts', 'email');
    `);
  } finally {
    await sql.end();
  }
  const hidden = { table: "unexposed.contacts", ...asked };
  const { status, body: { code } } = await call(acme.analyst.token, "decrypt", hidden);
  assert.deepEqual([status, code], [404, "ENCRYPTION_TABLE_NOT_EXPOSED"]);
});
