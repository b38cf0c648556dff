import assert from "node:assert/strict";
import { join } from "node:path";
import { withPreparedStack, withScratchStack } from "../testing/scratch_stack.ts";
import { startCommand } from "../testing/program.ts";
import { exists } from "./binaries.ts";
import { stackPaths } from "./paths.ts";
import { loadSecrets } from "./secrets.ts";

Deno.test("a taken HTTP port is one line that says what to do", () =>
  withScratchStack(async ({ startInVain }) => {
    const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const line = await startInVain({ args: ["--port", String(taken.addr.port)] });
    assert.match(line, new RegExp(`127\\.0\\.0\\.1:${taken.addr.port}: the port is taken.*--port`));
    taken.close();
  }));

Deno.test("a taken database port is one line that says what to do", () =>
  withScratchStack(async ({ startInVain }) => {
    const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const line = await startInVain({ args: ["--port=0", `--db-port=${taken.addr.port}`] });
    assert.match(line, new RegExp(`port ${taken.addr.port} is taken.*--db-port`));
    taken.close();
  }));

Deno.test("a second stack on the same folder is refused, and the first goes on", () =>
  withPreparedStack(async ({ folder, start, startInVain }) => {
    const first = start();
    const state = await first.ready();
    assert.ok(state, await first.output());
    const line = await startInVain();
    assert.ok(line.includes(folder) && line.includes(state.url), line);
    const health = await fetch(`${state.url}/health`);
    assert.deepEqual(await health.json(), { status: "ok" });
  }));

Deno.test("a corrupt data folder is reported, kept, and replaced by --reset", () =>
  withPreparedStack(async ({ folder, start, startInVain }) => {
    const first = start();
    assert.ok(await first.ready(), await first.output());
    await first.stop();
    const { database } = stackPaths(folder);
    await Deno.truncate(join(database, "global", "pg_control"), 100);
    assert.match(await startInVain(), /Cannot start Postgres on .*--reset/);
    await Deno.remove(join(database, "PG_VERSION"));
    assert.match(await startInVain(), /not an intact data folder.*--reset/);
    assert.ok(exists(join(database, "base")));

    const fresh = start({ args: ["--reset", "--port", "0"] });
    assert.ok(await fresh.ready(), await fresh.output());
  }));

Deno.test("a data folder of another Postgres is reported and kept", () =>
  withScratchStack(async ({ folder, startInVain }) => {
    const { database } = stackPaths(folder);
    await Deno.mkdir(database, { recursive: true });
    await Deno.writeTextFile(join(database, "PG_VERSION"), "15\n");
    await loadSecrets(stackPaths(folder).secrets);
    assert.match(await startInVain(), /was made by Postgres 15.*--reset/);
    assert.ok(exists(join(database, "PG_VERSION")));
  }));

Deno.test("a password that is not the data folder's is reported", () =>
  withPreparedStack(async ({ start, startInVain }) => {
    const first = start();
    assert.ok(await first.ready(), await first.output());
    await first.stop();
    const line = await startInVain({ env: { POSTGRES_PASSWORD: "another" } });
    assert.match(line, /POSTGRES_PASSWORD.*--reset/);
  }));

Deno.test("a folder that may not be written is reported", () =>
  withScratchStack(async ({ folder, startInVain }) => {
    const locked = `${folder}-locked`;
    await Deno.mkdir(locked, { mode: 0o500 });
    const isRoot = Deno.uid() === 0;
    if (isRoot) await Deno.chown(locked, 65534, 65534);
    // Root may write anywhere, unless it is run without the capabilities that say so.
    const drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] as const;
    const line = await startInVain({
      ...(isRoot && { command: [...drop, ...startCommand] }),
      env: { BULWARK_DATA_DIR: join(locked, "stack") },
    });
    assert.match(line, /permission denied.*BULWARK_DATA_DIR/);
  }));

Deno.test("a wrong option is one line with the usage", () =>
  withScratchStack(async ({ startInVain }) => {
    assert.match(await startInVain({ args: ["--prot", "1"] }), /--prot.*usage: npm start/);
    assert.match(await startInVain({ args: ["--port", "http"] }), /--port must be a port number/);
  }));

Deno.test("a secret too weak to sign with is refused", () =>
  withScratchStack(async ({ startInVain }) => {
    const line = await startInVain({ env: { SUPABASE_JWT_SECRET: "short" } });
    assert.match(line, /SUPABASE_JWT_SECRET.*32 characters/);
  }));
