import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { processesOf } from "../testing/program.ts";
import { withPreparedStack, withScratchStack } from "../testing/scratch_stack.ts";
import { connect } from "./connection.ts";
import { stackPaths } from "./paths.ts";
import { loadSecrets } from "./secrets.ts";

Deno.test("npm start serves an unmodified supabase-js, and finds its data again", () =>
  withScratchStack(async ({ folder, start }) => {
    const account = { email: "ada@example.test", password: "a long passphrase" };
    const first = start();
    const state = await first.ready();
    assert.ok(state, await first.output());
    const signedUp = await createClient(state.url, state.publishableKey).auth.signUp(account);
    assert.equal(signedUp.error, null);
    assert.ok(signedUp.data.user?.email_confirmed_at);
    assert.match(await first.output(), /^Bulwark is ready after \d+\.\d s/);
    assert.equal(await first.stop(), 143);

    const second = start();
    const again = await second.ready();
    assert.ok(again, await second.output());
    assert.equal(again.publishableKey, state.publishableKey);
    const client = createClient(again.url, again.publishableKey);
    const signedIn = await client.auth.signInWithPassword(account);
    assert.equal(signedIn.data.user?.id, signedUp.data.user.id);
    await client.auth.signOut();
    assert.equal(await second.stop(), 143);
    assert.deepEqual(await processesOf(folder), []);
  }));

Deno.test("npm start -- --reset starts over but keeps the keys", () =>
  withPreparedStack(async ({ start }) => {
    const account = { email: "ada@example.test", password: "a long passphrase" };
    const first = start();
    const state = await first.ready();
    assert.ok(state, await first.output());
    await createClient(state.url, state.publishableKey).auth.signUp(account);
    await first.stop();

    const second = start({ args: ["--reset", "--port", "0"] });
    const again = await second.ready();
    assert.ok(again, await second.output());
    assert.equal(again.publishableKey, state.publishableKey);
    const client = createClient(again.url, again.publishableKey);
    assert.equal((await client.auth.signInWithPassword(account)).data.user, null);
  }));

Deno.test("the stack enforces the keys and exposes neither other schemas nor its own settings", () =>
  withPreparedStack(async ({ folder, start }) => {
    const program = start();
    const state = await program.ready();
    assert.ok(state, await program.output());
    const status = async (path: string, headers: Record<string, string> = {}) => {
      const response = await fetch(state.url + path, { headers });
      await response.body?.cancel();
      return response.status;
    };
    const apikey = state.publishableKey;
    assert.equal(await status("/rest/v1/roles"), 401);
    assert.equal(await status("/rest/v1/roles", { apikey: "sb_publishable_wrong" }), 401);
    assert.equal(await status("/rest/v1/users", { apikey, "accept-profile": "auth" }), 406);
    assert.equal(
      await status("/rest/v1/settings", { apikey, "accept-profile": "bulwark_private" }),
      406,
    );
    assert.equal(await status("/_system/config", { apikey }), 404);
    assert.equal((await Deno.stat(stackPaths(folder).secrets)).mode! & 0o777, 0o600);
  }));

Deno.test("requests change no privilege of any role", () =>
  withPreparedStack(async ({ folder, start }) => {
    const program = start();
    const state = await program.ready();
    assert.ok(state, await program.output());
    const secrets = await loadSecrets(stackPaths(folder).secrets);
    const login = `supabase_admin:${secrets.databasePassword}@127.0.0.1:${state.databasePort}`;
    const admin = connect(`postgresql://${login}/postgres`);
    const privileges = async () =>
      await admin`
        select 'table' as kind, oid::regclass::text as name, relacl::text as acl from pg_class
        union all select 'function', oid::regprocedure::text, proacl::text from pg_proc
        union all select 'schema', nspname, nspacl::text from pg_namespace
        union all select 'default', oid::text, defaclacl::text from pg_default_acl
        union all select 'member', roleid::regrole || ' ' || member::regrole, '' from pg_auth_members
        order by 1, 2, 3
      `;
    try {
      const before = await privileges();
      const anybody = createClient(state.url, state.publishableKey, { db: { schema: "bulwark" } });
      await anybody.from("roles").select();
      await anybody.auth.signUp({ email: "ada@example.test", password: "a long passphrase" });
      await anybody.from("roles").select();
      await anybody.rpc("has_permission", { permission: "audit:read" });
      await createClient(state.url, secrets.secretKey).schema("bulwark").from("roles").select();
      await anybody.auth.signOut();
      const [login] = await admin`
        select has_table_privilege('authenticator', 'auth.users', 'select') as reads_accounts,
          has_table_privilege('authenticator', 'bulwark.roles', 'select') as reads_roles
      `;
      assert.deepEqual(login, { reads_accounts: false, reads_roles: false });
      assert.deepEqual(await privileges(), before);
    } finally {
      await admin.end();
    }
  }));
