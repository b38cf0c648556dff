/** Copies of the local stack: what is refused, what comes back, and what the log says of it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { createClient } from "@supabase/supabase-js";
import { withPreparedStack } from "../testing/scratch_stack.ts";
import { exists } from "./binaries.ts";
import { connect } from "./connection.ts";
import { Failure } from "./failure.ts";
import { backUp, restore } from "./offline_copy.ts";
import { stackPaths } from "./paths.ts";
import { loadSecrets } from "./secrets.ts";

const fails = (code: string, said = /./) => (thrown: unknown) =>
  thrown instanceof Failure && thrown.code === code && said.test(thrown.message);

Deno.test("a stack comes back from its copy, and never over another one", () =>
  withPreparedStack(async ({ folder, start }) => {
    const paths = stackPaths(folder);
    const copy = `${folder}-copy`;
    const account = { email: "ada@example.test", password: "a long passphrase" };
    const first = start();
    const state = await first.ready();
    assert.ok(state, await first.output());
    const signedUp = await createClient(state.url, state.publishableKey).auth.signUp(account);
    assert.equal(signedUp.error, null);
    await assert.rejects(backUp(paths, copy), fails("ALREADY_RUNNING"));
    await first.stop();
    await backUp(paths, copy);
    assert.equal((await Deno.stat(copy)).mode! & 0o777, 0o700);
    await assert.rejects(backUp(paths, copy), fails("TARGET_EXISTS"));
    await assert.rejects(
      backUp(stackPaths(`${folder}-none`), `${copy}-2`),
      fails("NOTHING_TO_COPY"),
    );
    await assert.rejects(restore(copy, paths), fails("STACK_EXISTS", /database exists/));

    // It goes on after the copy: that is lost.
    const second = start();
    const later = await second.ready();
    assert.ok(later, await second.output());
    const gone = { ...account, email: "gone@example.test" };
    await createClient(later.url, later.publishableKey).auth.signUp(gone);
    await assert.rejects(restore(copy, paths), fails("ALREADY_RUNNING"));
    await second.stop();
    await Deno.remove(folder, { recursive: true });

    // a copy that was changed
    const version = join(copy, "database", "PG_VERSION");
    const text = await Deno.readTextFile(version);
    await Deno.writeTextFile(version, text + "\n");
    await assert.rejects(restore(copy, paths), fails("COPY_DAMAGED", /PG_VERSION .* was changed/));
    await Deno.writeTextFile(version, text);
    const added = join(copy, "database", "added");
    await Deno.writeTextFile(added, "");
    await assert.rejects(restore(copy, paths), fails("COPY_DAMAGED", /added .* was added/));
    await Deno.remove(added);
    const manifest = join(copy, "manifest.json");
    await Deno.rename(manifest, `${copy}-manifest`);
    await assert.rejects(restore(copy, paths), fails("COPY_DAMAGED", /no manifest/));
    const foreign = JSON.parse(await Deno.readTextFile(`${copy}-manifest`));
    await Deno.writeTextFile(manifest, JSON.stringify({ ...foreign, platform: "plan9-68k" }));
    await assert.rejects(restore(copy, paths), fails("OTHER_PLATFORM"));
    await Deno.rename(`${copy}-manifest`, manifest);
    assert.ok(!exists(paths.database) && !exists(paths.secrets), "nothing was half restored");

    await restore(copy, paths);
    assert.equal((await Deno.stat(paths.secrets)).mode! & 0o777, 0o600);
    const third = start();
    const again = await third.ready();
    assert.ok(again, await third.output());
    const client = () => createClient(again.url, again.publishableKey).auth;
    const signedIn = await client().signInWithPassword(account);
    assert.equal(signedIn.data.user?.id, signedUp.data.user?.id);
    assert.equal((await client().signInWithPassword(gone)).data.user, null);
    const { databasePassword } = await loadSecrets(paths.secrets);
    const login = `postgres:${databasePassword}@127.0.0.1:${again.databasePort}`;
    const sql = connect(`postgresql://${login}/postgres`);
    const [log] = await sql`
      select v.intact, v.complete,
        (select count(*)::integer from bulwark.audit_logs where action = 'fork') as forks
      from bulwark.verify_audit_log() v
    `;
    assert.deepEqual({ ...log }, { intact: true, complete: true, forks: 1 });
    await sql.end();
  }));
