import assert from "node:assert/strict";
import { withScratchStack } from "../testing/scratch_stack.ts";
import { currentDeno, embeddedPostgres } from "./binaries.ts";
import { connect } from "./connection.ts";
import { Failure } from "./failure.ts";
import { throughGateway } from "./gateway.ts";
import { freePort } from "./ports.ts";
import { preparePlatform } from "./platform.ts";
import { requireAuthProgram, requireSameAuth } from "./real_auth.ts";
import { postgrestEnvironment, requirePostgrestProgram } from "./real_postgrest.ts";
import { startScratchCluster } from "./scratch_cluster.ts";
import { startService } from "./service.ts";

const secrets = {
  jwtSecret: "a secret for tests with 40 characters...",
  publishableKey: "sb_publishable_test",
  secretKey: "sb_secret_test",
};

/** An executable file with these lines. */
async function program(...lines: string[]): Promise<string> {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, ["#!/bin/sh", ...lines].join("\n"));
  await Deno.chmod(path, 0o755);
  return path;
}

async function refusal(check: Promise<void>): Promise<string> {
  const thrown = await check.then(() => null, (error) => error);
  assert.ok(thrown instanceof Failure);
  assert.equal(thrown.status, 2);
  return thrown.message.replace(/Cannot use \S+ as /, "");
}

Deno.test("a file that is no Supabase Auth, or no PostgREST, is refused by name", async () => {
  const postgres = `${embeddedPostgres().bin}/postgres`;
  const silent = await program("exit 0");
  const plain = await Deno.makeTempFile();
  try {
    for (
      const [path, state] of [
        ["/nowhere/program", "there is no such file"],
        [plain, "it cannot be run"],
        [postgres, "it is another program"],
        [silent, "it is another program"],
      ] as const
    ) {
      assert.equal(await refusal(requireAuthProgram(path)), `Supabase Auth: ${state}`);
      assert.equal(await refusal(requirePostgrestProgram(path)), `PostgREST: ${state}`);
    }
    const auth = await program("echo 'Usage:'; echo '  gotrue [flags]'");
    await requireAuthProgram(auth);
    assert.equal(await refusal(requirePostgrestProgram(auth)), "PostgREST: it is another program");
    await Deno.remove(auth);
  } finally {
    await Deno.remove(silent);
    await Deno.remove(plain);
  }
});

Deno.test("npm start -- --postgrest-bin says what is wrong in one line, before anything starts", () =>
  withScratchStack(async ({ folder, startInVain }) => {
    const start = (...args: string[]) => startInVain({ args: ["--port", "0", ...args] });
    assert.match(await start("--postgrest-bin", "/nowhere/p"), /^Cannot use \/nowhere\/p as Postg/);
    assert.match(await start("--auth-bin", "/nowhere/a"), /^Cannot use \/nowhere\/a as Supabase A/);
    assert.match(await start("--auth-bin"), /argument missing; usage: npm start/);
    assert.throws(() => Deno.statSync(folder), Deno.errors.NotFound);
  }));

Deno.test("PostgREST gets its settings in its environment, and serves bulwark and public alone", () => {
  const cluster = { url: (role: string) => `postgresql://${role}@here` } as never;
  const settings = postgrestEnvironment(
    { cluster, secrets: { ...secrets, databasePassword: "x" } as never },
    3000,
    3001,
  );
  assert.deepEqual(settings, {
    PGRST_DB_URI: "postgresql://authenticator@here",
    PGRST_DB_SCHEMAS: "public,bulwark",
    PGRST_DB_EXTRA_SEARCH_PATH: "public,extensions",
    PGRST_DB_ANON_ROLE: "anon",
    PGRST_DB_MAX_ROWS: "1000",
    PGRST_JWT_SECRET: secrets.jwtSecret,
    PGRST_SERVER_HOST: "127.0.0.1",
    PGRST_SERVER_PORT: "3000",
    PGRST_ADMIN_SERVER_PORT: "3001",
  });
});

Deno.test("a service serves until it is stopped, and gets nothing of the stack's environment", async () => {
  const port = freePort();
  const log = await Deno.makeTempFile();
  Deno.env.set("BULWARK_TEST_LEAK", "a secret");
  const service = await startService({
    name: "Echo",
    binary: currentDeno(),
    args: [
      "eval",
      "Deno.serve({ port: Number(Deno.env.get('PORT')), hostname: '127.0.0.1' }, () =>" +
      " Response.json(Deno.env.toObject()))",
    ],
    env: { PORT: String(port), HOME: "/tmp" },
    port,
    healthPath: "/",
    log,
  });
  try {
    const environment = await (await fetch(service.url)).json();
    assert.equal(environment.PORT, String(port));
    assert.equal(environment.BULWARK_TEST_LEAK, undefined);
    assert.equal((await Deno.stat(log)).mode! & 0o777, 0o600);
  } finally {
    Deno.env.delete("BULWARK_TEST_LEAK");
    await service.stop();
  }
  await assert.rejects(fetch(service.url));
  await Deno.remove(log);
});

Deno.test("a service that ends at once is a failure with its last error", async () => {
  const log = await Deno.makeTempFile();
  const binary = await program(`echo '{"level":"fatal","msg":"no such database"}'; exit 1`);
  const start = startService({
    name: "PostgREST",
    binary,
    args: [],
    env: {},
    port: freePort(),
    healthPath: "/",
    log,
  });
  await assert.rejects(start, {
    code: "SERVICE_FAILED",
    message: `Cannot start PostgREST: no such database; see ${log}`,
  });
  await Deno.remove(binary);
  await Deno.remove(log);
});

Deno.test("the gateway takes API keys alone, and gives programs the token of their role", async () => {
  const seen: { path: string; claims: { role?: string } | null; headers: Headers; body: string }[] =
    [];
  const upstream = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (request) => {
      const { pathname, search } = new URL(request.url);
      const token = request.headers.get("authorization")?.split(" ")[1];
      const claims = token?.split(".")[1];
      seen.push({
        path: pathname + search,
        claims: claims ? JSON.parse(atob(claims)) : null,
        headers: request.headers,
        body: await request.text(),
      });
      return new Response(null, { status: 303, headers: { location: "/elsewhere", "x-own": "1" } });
    },
  );
  const url = `http://127.0.0.1:${upstream.addr.port}`;
  const fetchThrough = throughGateway({ prefix: "/auth/v1", url, open: /^\/verify$/ }, secrets);
  const ask = async (path: string, headers: Record<string, string> = {}, body?: string) => {
    const method = body === undefined ? "GET" : "POST";
    const request = new Request(`http://stack/auth/v1${path}`, {
      method,
      headers,
      ...body === undefined ? {} : { body },
    });
    const answer = await fetchThrough(request);
    await answer.body?.cancel();
    return answer;
  };
  assert.equal((await ask("/user")).status, 401);
  assert.equal((await ask("/user", { apikey: "sb_secret_wrong" })).status, 401);
  assert.equal((await ask("/user", { authorization: `Bearer ${secrets.secretKey}` })).status, 401);
  assert.equal(seen.length, 0, "nothing of that got through");

  const answer = await ask("/user?a=b", { apikey: secrets.publishableKey });
  assert.deepEqual([answer.status, answer.headers.get("x-own")], [303, "1"]);
  await ask("/user", { apikey: secrets.secretKey, authorization: `Bearer ${secrets.secretKey}` });
  const person = `x.${btoa(JSON.stringify({ role: "authenticated" }))}.y`;
  await ask("/user", { apikey: secrets.publishableKey, authorization: `Bearer ${person}` }, "body");
  await ask(`/settings?apikey=${secrets.publishableKey}`);
  await ask("/verify?token=1");
  assert.deepEqual(seen.map(({ path, claims, body }) => [path, claims?.role, body]), [
    ["/user?a=b", "anon", ""],
    ["/user", "service_role", ""],
    ["/user", "authenticated", "body"],
    ["/settings", "anon", ""],
    ["/verify?token=1", undefined, ""],
  ]);
  await upstream.shutdown();
  assert.equal((await ask("/user", { apikey: secrets.publishableKey })).status, 503);
});

Deno.test("a database that Lite made is not given to Supabase Auth, nor the other way round", async () => {
  const { cluster, password, stop } = await startScratchCluster("same-auth", embeddedPostgres());
  try {
    const url = cluster.url("supabase_admin", password);
    await requireSameAuth(url, false);
    await assert.rejects(requireSameAuth(url, true), { code: "OTHER_AUTH" });
    const admin = connect(url);
    const version = async () =>
      (await admin`select xmin from pg_proc where oid = 'auth.uid()'::regprocedure`)[0]?.xmin;
    const before = await version();
    await preparePlatform(cluster, password);
    assert.equal(await version(), before, "the same sources make it once");
    await admin`comment on schema auth is 'Made by others'`;
    await preparePlatform(cluster, password);
    assert.notEqual(await version(), before, "others make it again");
    await admin`create table auth.schema_migrations (version text)`;
    await admin.end();
    await requireSameAuth(url, true);
    await assert.rejects(requireSameAuth(url, false), { code: "OTHER_AUTH" });
  } finally {
    await stop();
  }
});
