/** Searches through the function `bulwark-encryption` against hostile rows. */
import assert from "node:assert/strict";
import { addContacts, call, done, findAll, makeContacts, table } from "./support.ts";
import { connect } from "../support.ts";

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
