import assert from "node:assert/strict";
import { processesOf } from "../testing/program.ts";
import { withPreparedStack } from "../testing/scratch_stack.ts";
import { connect } from "./connection.ts";
import { stackPaths } from "./paths.ts";
import { loadSecrets } from "./secrets.ts";

Deno.test("the stack goes on when its connections or its database end, and says so", () =>
  withPreparedStack(async ({ folder, start }) => {
    const program = start();
    const state = await program.ready();
    assert.ok(state, await program.output());
    const paths = stackPaths(folder);
    const { databasePassword } = await loadSecrets(paths.secrets);
    const address = `postgresql://supabase_admin:${encodeURIComponent(databasePassword)}@127.0.0.1`;
    const admin = connect(`${address}:${state.databasePort}/postgres`);

    const ask = async (path: string, body: unknown): Promise<number> => {
      const headers = { apikey: state.publishableKey, "content-type": "application/json" };
      const signal = AbortSignal.timeout(2000);
      const options = { method: "POST", headers, body: JSON.stringify(body), signal };
      return await fetch(`${state.url}${path}`, options).then(async (answer) => {
        await answer.body?.cancel();
        return answer.status;
      }, () => 0);
    };
    const signUp = () =>
      ask("/auth/v1/signup", {
        email: `${crypto.randomUUID()}@people.test`,
        password: crypto.randomUUID(),
      });
    const served = async () => {
      for (let attempt = 0; await signUp() !== 200; attempt++) {
        assert.ok(attempt < 100, await program.output());
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    };
    await served();

    // While transactions are under way.
    let isBusy = true;
    const busy = Array.from({ length: 4 }, async () => {
      while (isBusy) await signUp();
    });
    for (let round = 0; round < 5; round++) {
      await admin`
        select pg_terminate_backend(pid) from pg_stat_activity
        where pid <> pg_backend_pid() and backend_type = 'client backend'
      `;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    isBusy = false;
    await Promise.all(busy);
    await admin.end();
    await served();

    const postmaster = () =>
      Number(Deno.readTextFileSync(`${paths.database}/postmaster.pid`).split("\n")[0]);
    for (const signal of ["SIGKILL", "SIGQUIT"] as const) {
      const before = postmaster();
      Deno.kill(before, signal);
      await served();
      assert.notEqual(postmaster(), before);
    }
    assert.match(await program.output(), /The database ended; it is started again/);
    assert.match(await program.output(), /The database runs again/);

    assert.equal(await program.stop(), 143);
    assert.deepEqual(
      (await processesOf(folder)).filter((line) => line.includes("postgres -D")),
      [],
    );
  }));
