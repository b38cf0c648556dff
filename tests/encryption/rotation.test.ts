/** Rotation against crashes and concurrent writers: nothing is lost, and everything is read. */
import assert from "node:assert/strict";
import { currentDeno } from "../../scripts/stack/binaries.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import {
  addContacts,
  call,
  type Contacts,
  done,
  makeContacts,
  readContacts,
  table,
  work,
} from "./support.ts";
import { connect, ok, publishableKey, schedulerSecret, url } from "../support.ts";

function setting(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`${name} is not set: run this through npm test`);
  return value;
}

const environment = {
  SUPABASE_URL: url,
  SUPABASE_ANON_KEY: publishableKey,
  SUPABASE_SERVICE_ROLE_KEY: setting("BULWARK_TEST_SECRET_KEY"),
  BULWARK_ENCRYPTION_KEYS: setting("BULWARK_TEST_ENCRYPTION_KEYS"),
  BULWARK_SCHEDULER_SECRET: schedulerSecret,
  NO_COLOR: "1",
  // No parent process holds the pipe of its standard input.
  BULWARK_PARENT_PIPE: "",
};

function run(script: string, ...args: string[]): Deno.ChildProcess {
  return new Deno.Command(currentDeno(), {
    args: [
      "run",
      "--allow-all",
      `--config=${inRepository("deno.json")}`,
      inRepository(script),
      ...args,
    ],
    env: environment,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Rows of an organization that are not under its current key. */
async function staleRows({ organization }: Contacts): Promise<number> {
  const sql = connect(1);
  try {
    const rows = await sql`
      select count(*)::integer as count from contacts
      where organization_id = ${organization}
        and substr(email, 13, 22) <> (
          select translate(left(encode(uuid_send(k.id), 'base64'), 22), '+/', '-_')
          from bulwark_private.data_keys k
          where k.organization_id = ${organization} and k.purpose = 'field' and k.state = 'current'
        )
    `;
    return rows[0]!.count;
  } finally {
    await sql.end();
  }
}

/** Works until no organization has running work; lent batches return by themselves. */
async function finish(): Promise<void> {
  for (;;) {
    const { more, reencrypted } = await work({ milliseconds: 500, batch_size: 20 });
    if (!more) return;
    if (reencrypted === 0) await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

Deno.test("ENC-R01: a rotation that is killed, again and again, resumes and loses nothing", async () => {
  const acme = await makeContacts();
  const emails = Array.from({ length: 100 }, (_, row) => `person-${row}@example.com`);
  const ids = await addContacts(acme, emails);
  const sql = connect(1);
  try {
    // The scheduler runs later, so only the killed processes work here.
    await sql`update bulwark.settings set value = '1' where name = 'encryption.lease_seconds'`;
    await done(acme.admin.token, "rotate", { organization_id: acme.organization });
    let killed = 0;
    for (let round = 0; round < 3; round++) {
      const worker = run("tests/encryption/worker.ts");
      const reader = worker.stdout.getReader();
      const { done: ended } = await reader.read();
      if (!ended) {
        // In the middle of a batch or between two, by chance.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
        worker.kill("SIGKILL");
        killed++;
      }
      await reader.cancel();
      await worker.stderr.cancel();
      await worker.status;
    }
    assert.ok(killed > 0, "something was killed");
    await finish();
    assert.equal(await staleRows(acme), 0);
    assert.deepEqual(
      await readContacts(acme.analyst, ids),
      Object.fromEntries(ids.map((id, row) => [id, emails[row]!])),
    );
    const [progress] = ok(
      await acme.admin.client.rpc("encryption_progress", { organization_id: acme.organization }),
    );
    assert.deepEqual([progress?.total, progress?.done, progress?.failed], [100, 100, 0]);
  } finally {
    await sql`update bulwark.settings set value = '10' where name = 'encryption.lease_seconds'`;
    await sql.end();
  }
});

Deno.test("ENC-R02: reads and writes during a rotation all succeed, and the last write wins", async () => {
  const acme = await makeContacts();
  const ids = await addContacts(
    acme,
    Array.from({ length: 60 }, (_, row) => `first-${row}@x.test`),
  );
  const last = new Map(ids.map((id, row) => [id, `first-${row}@x.test`]));
  // This test makes more requests than the limit allows.
  const sql = connect(1);
  await sql`update bulwark.rate_limit_rules set capacity = 100000 where name = 'api_relaxed'`;
  await sql.end();
  let rotating = true;
  const write = async (mine: string[]) => {
    let writes = 0;
    while (rotating || writes < 5) {
      const id = mine[writes % mine.length]!;
      const email = `write-${writes}-of-${id}@x.test`;
      const { rows: [row] } = await done(acme.analyst.token, "encrypt", {
        table: "contacts",
        organization_id: acme.organization,
        rows: [{ primary_key: id, fields: { email } }],
      });
      const written = await table(acme.analyst).update(row.fields).eq("id", id);
      assert.equal(written.error, null);
      last.set(id, email);
      writes++;
    }
    return writes;
  };
  const read = async () => {
    let reads = 0;
    while (rotating || reads < 5) {
      const some = ids.slice(reads % 40, reads % 40 + 20);
      assert.equal(Object.keys(await readContacts(acme.analyst, some)).length, 20);
      reads++;
    }
    return reads;
  };
  // Writers have rows of their own; all of them overlap with the rotation.
  const others = [write(ids.slice(0, 20)), write(ids.slice(20, 40)), read(), read()];
  for (let version = 2; version <= 4; version++) {
    await done(acme.admin.token, "rotate", { organization_id: acme.organization });
    await Promise.all([finish(), finish()]);
  }
  rotating = false;
  for (const count of await Promise.all(others)) assert.ok(count >= 5);
  await finish();
  assert.deepEqual(await readContacts(acme.analyst, ids), Object.fromEntries(last));
  assert.equal(await staleRows(acme), 0);
});

Deno.test("ENC-R03: parallel rotations of one organization leave one current key", async () => {
  const acme = await makeContacts();
  const [id] = await addContacts(acme, ["ada@example.com"]);
  const answers = await Promise.all(
    Array.from(
      { length: 8 },
      () => call(acme.admin.token, "rotate", { organization_id: acme.organization }),
    ),
  );
  assert.ok(answers.every(({ status }) => status === 200));
  const sql = connect(1);
  try {
    const versions = await sql`
      select version::integer, state::text from bulwark_private.data_keys
      where organization_id = ${acme.organization} and purpose = 'field' order by version
    `;
    assert.ok(versions.length >= 2);
    for (const [index, { version, state }] of versions.entries()) {
      const newest = index === versions.length - 1;
      assert.deepEqual([version, state], [index + 1, newest ? "current" : "superseded"]);
    }
  } finally {
    await sql.end();
  }
  await finish();
  assert.deepEqual(await readContacts(acme.analyst, [id!]), { [id!]: "ada@example.com" });
});

Deno.test("ENC-R04: what was written under an old key while it settled is found before it is done", async () => {
  const acme = await makeContacts();
  const [ada, bob] = await addContacts(acme, ["ada@example.com", "bob@example.com"]);
  const { data } = await table(acme.analyst).select("email, email_index").eq("id", bob);
  await done(acme.admin.token, "rotate", { organization_id: acme.organization });
  await finish();
  // Like a function with the old key in its cache.
  ok(await table(acme.analyst).update(data[0]).eq("id", bob).select("id"));
  assert.equal(await staleRows(acme), 1);
  const sql = connect(1);
  try {
    await sql`update bulwark.settings set value = '0' where name = 'encryption.settle_seconds'`;
    await finish();
    await finish();
    const [progress] = ok(
      await acme.admin.client.rpc("encryption_progress", { organization_id: acme.organization }),
    );
    assert.equal(progress?.state, "done");
  } finally {
    await sql`update bulwark.settings set value = '330' where name = 'encryption.settle_seconds'`;
    await sql.end();
  }
  assert.equal(await staleRows(acme), 0);
  assert.deepEqual(await readContacts(acme.analyst, [ada!, bob!]), {
    [ada!]: "ada@example.com",
    [bob!]: "bob@example.com",
  });
});

Deno.test("ENC-R05: a row that does not decrypt is named, left as it is, and keeps nobody waiting", async () => {
  const acme = await makeContacts();
  const [ada, bob] = await addContacts(acme, ["ada@example.com", "bob@example.com"]);
  const { data } = await table(acme.analyst).select("email").eq("id", ada);
  ok(await table(acme.analyst).update(data[0]).eq("id", bob).select("id"));
  await done(acme.admin.token, "rotate", { organization_id: acme.organization });
  await finish();
  const progress = async () => {
    const [column] = ok(
      await acme.admin.client.rpc("encryption_progress", { organization_id: acme.organization }),
    );
    return [column?.state, column?.done, column?.failed];
  };
  assert.deepEqual(await progress(), ["settling", 1, 1]);
  // Like a function with the old key in its cache, next to the row that cannot be decrypted.
  assert.equal((await table(acme.analyst).update(data[0]).eq("id", ada)).error, null);
  const sql = connect(1);
  try {
    await sql`update bulwark.settings set value = '0' where name = 'encryption.settle_seconds'`;
    await finish();
  } finally {
    await sql`update bulwark.settings set value = '330' where name = 'encryption.settle_seconds'`;
    await sql.end();
  }
  assert.deepEqual(await progress(), ["incomplete", 2, 1]);
  assert.equal(await staleRows(acme), 1);
  const kept = await table(acme.analyst).select("email").eq("id", bob);
  assert.deepEqual(kept.data, data);
  assert.deepEqual(await readContacts(acme.analyst, [ada!]), { [ada!]: "ada@example.com" });
  const entries = ok(
    await acme.admin.client.from("audit_logs").select("event_type, action, details")
      .eq("organization_id", acme.organization).eq("event_type", "system.error"),
  );
  assert.deepEqual(entries.map(({ action, details }) => [action, details]), [
    ["reencrypt", { column: "email", rows: 1 }],
  ]);
});

Deno.test("ENC-R06: npm run rotate-keys rotates, re-encrypts and says what it did", async () => {
  const acme = await makeContacts();
  await addContacts(acme, Array.from({ length: 30 }, (_, row) => `person-${row}@example.com`));
  const { success, stdout } = await run(
    "scripts/rotate_keys.ts",
    "--organization",
    acme.organization,
  )
    .output();
  const output = new TextDecoder().decode(stdout);
  // A row of another test that cannot be decrypted counts in the exit code too.
  assert.equal(typeof success, "boolean");
  assert.match(output, new RegExp(`^${acme.organization}: field key version 2$`, "m"));
  assert.match(output, /^\d+ data keys rewrapped, \d+ rows re-encrypted$/m);
  assert.equal(await staleRows(acme), 0);
});

Deno.test("ENC-R07: shredding and a new key at once: one waits for the other, and no key is left", async () => {
  const acme = await makeContacts();
  await addContacts(acme, ["ada@example.com"]);
  const sql = connect(3);
  try {
    const [organization] =
      await sql`select slug from bulwark.organizations where id = ${acme.organization}`;
    let added: Promise<unknown> | undefined;
    await sql.begin(async (shredding) => {
      await shredding`select from bulwark.organizations where id = ${acme.organization} for update`;
      added = sql`
        select bulwark.add_data_key(
          gen_random_uuid(), 'field',
          (select wrapped_key from bulwark_private.data_keys
           where organization_id = ${acme.organization} and purpose = 'field'),
          1, ${acme.organization}
        )
      `.then(() => "added", (thrown) => thrown.detail);
      // Until it waits.
      for (let waiting = false; !waiting;) {
        const [row] = await sql`
          select exists (
            select from pg_stat_activity where query like '%add_data_key%'
              and wait_event_type = 'Lock' and pid <> pg_backend_pid()
          ) as waits
        `;
        waiting = row?.waits;
      }
      await shredding`
        select bulwark.shred_organization(${acme.organization}, ${organization!.slug})
      `;
    });
    assert.equal(await added, "ENCRYPTION_KEY_DESTROYED");
    const left = await sql`
      select from bulwark_private.data_keys
      where organization_id = ${acme.organization} and wrapped_key is not null
    `;
    assert.equal(left.length, 0);
  } finally {
    await sql.end();
  }
});

Deno.test("ENC-R08: what is written under an old key after its rotation is done, the next one finds", async () => {
  const acme = await makeContacts();
  const [ada] = await addContacts(acme, ["ada@example.com"]);
  const { data } = await table(acme.analyst).select("email, email_index").eq("id", ada);
  const sql = connect(1);
  try {
    await sql`update bulwark.settings set value = '0' where name = 'encryption.settle_seconds'`;
    await done(acme.admin.token, "rotate", { organization_id: acme.organization });
    await finish();
    assert.equal(await staleRows(acme), 0);
    // Like a frontend that had its values encrypted and was offline for a day.
    assert.equal((await table(acme.analyst).update(data[0]).eq("id", ada)).error, null);
    assert.equal(await staleRows(acme), 1);
    await done(acme.admin.token, "rotate", { organization_id: acme.organization });
    await finish();
    assert.equal(await staleRows(acme), 0);
  } finally {
    await sql`update bulwark.settings set value = '330' where name = 'encryption.settle_seconds'`;
    await sql.end();
  }
  assert.deepEqual(await readContacts(acme.analyst, [ada!]), { [ada!]: "ada@example.com" });
});
