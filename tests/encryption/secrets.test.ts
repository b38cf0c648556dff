/** Searches everything that is stored for keys and plaintext. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { debianPostgres, exists } from "../../scripts/stack/binaries.ts";
import { addContacts, call, done, makeContacts, readContacts, table, work } from "./support.ts";
import { superuserUrl } from "../support.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { startInstalledCluster } from "../../scripts/testing/prepared_clusters.ts";
import { sqlClient } from "../../scripts/encryption/sql_client.ts";
import { blindIndex, encryptField } from "../../supabase/functions/_bulwark/encryption/mod.ts";
import { CachedDataKeys } from "../../supabase/functions/_bulwark/encryption/data_keys.ts";
import { KeyRing } from "../../supabase/functions/_bulwark/encryption/key_ring.ts";
import { dataKeyStore } from "../../supabase/functions/_bulwark/encryption/store.ts";

const keys = (Deno.env.get("BULWARK_TEST_ENCRYPTION_KEYS") ?? "").split(",")
  .map((entry) => entry.slice(entry.indexOf(":") + 1));
const email = `searched-for-${crypto.randomUUID()}@example.com`;
const secrets = [
  email,
  ...keys,
  ...keys.map((key) => key.replaceAll("+", "-").replaceAll("/", "_")),
];

function assertClean(text: string, place: string): void {
  assert.ok(text.length > 0, `${place} is not empty`);
  for (const [index, secret] of secrets.entries()) {
    const bare = secret.replace(/=+$/, "");
    assert.ok(bare.length > 20 && !text.includes(bare), `secret ${index} is in ${place}`);
  }
}

/** All uses of keys and texts, including refusals. */
async function useEverything() {
  const acme = await makeContacts();
  const [ada, bob] = await addContacts(acme, [email, email]);
  await readContacts(acme.analyst, [ada!]);
  await done(acme.analyst.token, "find", {
    table: "contacts",
    organization_id: acme.organization,
    column: "email",
    value: email,
  });
  const answers = [
    // Plaintext in place of ciphertext is refused, and must not be quoted.
    await table(acme.analyst).update({ name: "x", email_index: null }).eq("id", bob).select("name"),
  ];
  const { data } = await table(acme.analyst).select("email").eq("id", ada);
  await table(acme.analyst).update({ email: data[0].email }).eq("id", bob);
  const refused = [
    await call(acme.analyst.token, "decrypt", {
      table: "contacts",
      columns: ["email"],
      primary_keys: [bob],
    }),
    await call(acme.viewer.token, "encrypt", {
      table: "contacts",
      organization_id: acme.organization,
      rows: [{ primary_key: ada, fields: { email } }],
    }),
    await call(acme.analyst.token, "encrypt", {
      table: "contacts",
      organization_id: acme.organization,
      rows: [{ primary_key: ada, fields: { email: { nested: email } } }],
    }),
  ];
  await done(acme.admin.token, "rotate", { organization_id: acme.organization });
  await work({ key_encryption_key: "local-2" });
  assertClean(JSON.stringify([answers, refused]), "answers");
}

Deno.test("ENC-S01: no key and no plaintext in logs, audit entries, pg_stat_statements or any table", async () => {
  const admin = connect(superuserUrl);
  try {
    await admin`select extensions.pg_stat_statements_reset()`;
    await useEverything();
    const [statements] = await admin`
      select string_agg(query, ' ') as text from extensions.pg_stat_statements
    `;
    assertClean(statements!.text, "pg_stat_statements");
    const [entries] =
      await admin`select string_agg(l::text, ' ') as text from bulwark.audit_logs l`;
    assertClean(entries!.text, "the audit log");
    assert.ok(!/bwk1\.|bw1\.a256gcm|bwi1\./.test(entries!.text), "no ciphertext in the audit log");
    const tables = await admin`
      select c.oid::regclass::text as name from pg_class c
      where c.relkind = 'r' and c.relnamespace::regnamespace::text in ('bulwark', 'bulwark_private', 'auth')
    `;
    assert.ok(tables.length > 20);
    for (const { name } of tables) {
      const [rows] = await admin.unsafe(`select string_agg(t::text, ' ') as text from ${name} t`);
      assertClean(`${name} ${rows!.text}`, name);
    }
    const [{ data } = { data: "" }] = await admin`select current_setting('data_directory') as data`;
    const folder = dirname(data);
    for (const file of [join(folder, "postgres.log"), `${folder}.log`]) {
      assertClean(`${file}\n${await Deno.readTextFile(file)}`, file);
    }
  } finally {
    await admin.end();
  }
});

const debian = debianPostgres();
const pgDump = debian && join(debian.bin, "pg_dump");

Deno.test({
  name: "ENC-S02: no key and no plaintext in a dump of the database" +
    (pgDump && exists(pgDump) ? "" : " (needs pg_dump; Debian: postgresql-15)"),
  ignore: !pgDump || !exists(pgDump),
  async fn() {
    assert.ok(debian && pgDump);
    const { cluster, password, stop } = await startInstalledCluster("dumped", debian);
    try {
      const sql = connect(cluster.url("postgres", password));
      const organizationId = null;
      await sql.unsafe(`
        create table public.people (id bigint primary key, email text);
        select bulwark.declare_encrypted_column('public.people', 'email', blind_index => true);
      `);
      const key = new KeyRing(`k1:${keys[0]}`);
      const dataKeys = new CachedDataKeys(key, dataKeyStore(sqlClient(sql)));
      const address = { schema: "public", table: "people", column: "email", primaryKey: "1" };
      const ciphertext = await encryptField(dataKeys, { ...address, organizationId }, email);
      const index = await blindIndex(dataKeys, { ...address, organizationId }, email);
      await sql`insert into people values (1, ${ciphertext}, ${index})`;
      await sql.end();
      const dump = await new Deno.Command(pgDump, {
        args: [
          `--dbname=${cluster.url("supabase_admin", password)}`,
        ],
        stdout: "piped",
        stderr: "piped",
      }).output();
      assert.ok(dump.success, new TextDecoder().decode(dump.stderr));
      const text = new TextDecoder().decode(dump.stdout);
      assert.ok(
        text.includes(ciphertext) && text.includes("bwk1.k1."),
        "the dump has them wrapped",
      );
      assertClean(text, "the dump");
    } finally {
      await stop();
    }
  },
});
