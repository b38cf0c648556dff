/** Keys that the database was filled with, lost and found: what starts, what is read, what is told. */
import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { withPreparedStack } from "../testing/scratch_stack.ts";
import { connect } from "./connection.ts";
import { parseEnv } from "./env_file.ts";
import type { StackState } from "./instance.ts";
import { stackPaths } from "./paths.ts";

const table = "contacts";

/** An administrator of the demo's organization acme, who encrypts and decrypts. */
async function signIn(state: StackState, password: string) {
  const client = createClient(state.url, state.publishableKey);
  const { error } = await client.auth.signInWithPassword({ email: "admin@acme.test", password });
  assert.equal(error, null);
  const { data: made } = await client.schema("bulwark").from("organizations").select("id").single();
  const organization_id = made?.id as string;
  const call = async (path: string, body: unknown) => {
    const { data: { session } } = await client.auth.getSession();
    const answer = await fetch(`${state.url}/functions/v1/bulwark-encryption/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${session?.access_token}` },
      body: JSON.stringify(body),
    });
    return await answer.json();
  };
  return {
    async write(email: string): Promise<string> {
      const primary_key = crypto.randomUUID();
      const rows = [{ primary_key, fields: { email } }];
      const encrypted = await call("encrypt", { table, organization_id, rows });
      assert.ok(encrypted.rows, JSON.stringify(encrypted));
      const { error } = await client.from(table)
        .insert({ id: primary_key, organization_id, name: "Ada", ...encrypted.rows[0].fields });
      assert.equal(error, null);
      return primary_key;
    },
    async read(id: string): Promise<string> {
      const { rows } = await call("decrypt", { table, columns: ["email"], primary_keys: [id] });
      return rows[0].fields?.email ?? rows[0].error.code;
    },
  };
}

Deno.test("a stack does not start with other keys than its data's, unless they are given up", () =>
  withPreparedStack(async ({ folder, start, startInVain }) => {
    const { secrets: file } = stackPaths(folder);
    const run = async (args: string[] = []) => {
      const program = start({ args: ["--port", "0", ...args] });
      const state = await program.ready();
      assert.ok(state, await program.output());
      const saved = parseEnv(await Deno.readTextFile(file));
      const password = saved["POSTGRES_PASSWORD"];
      const sql = connect(
        `postgresql://postgres:${password}@127.0.0.1:${state.databasePort}/postgres`,
      );
      const person = await signIn(state, saved["BULWARK_DEMO_PASSWORD"] ?? "");
      return {
        sql,
        output: program.output,
        ...person,
        async stop() {
          await sql.end();
          await program.stop();
        },
      };
    };
    const edit = async (change: (text: string) => string) => {
      await Deno.writeTextFile(file, change(await Deno.readTextFile(file)));
    };
    const without = (...names: string[]) => (text: string) =>
      names.reduce((left, name) => left.replace(new RegExp(`^${name}=.*\n`, "m"), ""), text);

    const first = await run();
    const old = await first.write("ada@example.test");
    await first.sql`select bulwark.seal_audit_log()`;
    // The stack signs its first checkpoint within seconds.
    for (;;) {
      const [signed] = await first.sql`select from bulwark.audit_keys`;
      if (signed) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await first.stop();
    const kept = await Deno.readTextFile(file);
    await (await run()).stop();

    // lost: not made anew under the same ids
    await edit(without("BULWARK_ENCRYPTION_KEYS", "BULWARK_MFA_PEPPER"));
    const lost = await startInVain();
    assert.match(lost, /BULWARK_ENCRYPTION_KEYS, BULWARK_MFA_PEPPER are not set.*--lost-keys/);
    assert.doesNotMatch(await Deno.readTextFile(file), /BULWARK_ENCRYPTION_KEYS/);
    await edit(without("POSTGRES_PASSWORD"));
    assert.match(await startInVain({ args: ["--lost-keys"] }), /POSTGRES_PASSWORD.*--reset/);

    // mistyped: another key under a known id, or none under it
    const other = btoa("x".repeat(32));
    const set = (value: string) => ({ env: { BULWARK_ENCRYPTION_KEYS: value } });
    await Deno.writeTextFile(file, kept);
    const wrong = await startInVain(set(`local-1:${other},local-2:${other}`));
    assert.match(wrong, /has another key under the id local-1, which wraps \d+ data keys/);
    assert.match(await startInVain(set(`mine:${other}`)), /lacks local-1, which wraps \d+ data/);
    assert.match(await startInVain(set("nonsense")), /^Cannot read BULWARK_ENCRYPTION_KEYS: /);
    const signing = { env: { BULWARK_AUDIT_SIGNING_KEYS: other } };
    assert.match(await startInVain(signing), /no key that signed the audit log.*--lost-keys/);

    // given up
    await edit(without(
      ...["BULWARK_ENCRYPTION_KEYS", "BULWARK_MFA_PEPPER", "BULWARK_AUDIT_SIGNING_KEYS"],
    ));
    const second = await run(["--lost-keys"]);
    assert.match(await second.output(), /Key-encryption key local-1 is lost: fields under its \d+/);
    assert.match(await second.output(), /The pepper of MFA backup codes is lost/);
    assert.match(await second.output(), /The key that signed checkpoints is lost/);
    assert.equal(await second.read(old), "ENCRYPTION_KEY_LOST");
    const young = await second.write("grace@example.test");
    assert.equal(await second.read(young), "grace@example.test");
    for (;;) {
      const [failed] = await second.sql`select fault from bulwark.reencryption_failures
        where row_key = ${old}`;
      if (failed) {
        assert.equal(failed.fault, "key_lost");
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await second.stop();
    const renewed = parseEnv(await Deno.readTextFile(file))["BULWARK_ENCRYPTION_KEYS"] ?? "";
    assert.match(renewed, /^local-[0-9a-f]{8}:[^,]+$/, "under an id that no key had");

    // it starts without the option from now on, and with the key that was found
    const third = await run();
    assert.equal(await third.read(young), "grace@example.test");
    for (;;) {
      const [signed] = await third.sql`
        select count(distinct key_id)::integer as keys from bulwark.audit_checkpoints
      `;
      if (signed?.keys === 2) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await third.stop();
    const found = parseEnv(kept)["BULWARK_ENCRYPTION_KEYS"];
    await edit((text) => text.replace(renewed, `${renewed},${found}`));
    const fourth = await run();
    assert.equal(await fourth.read(old), "ENCRYPTION_KEY_LOST");
    await fourth.sql`select bulwark.declare_key_found('local-1')`;
    assert.equal(await fourth.read(old), "ada@example.test");
    await fourth.stop();
  }));
