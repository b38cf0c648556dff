import assert from "node:assert/strict";
import { join } from "node:path";
import { mountFunctions } from "./functions.ts";

const info = {
  remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
  completed: Promise.resolve(),
} as Deno.ServeHandlerInfo;

async function withFunctions(
  sources: Record<string, string>,
  test: (call: (path: string, init?: RequestInit) => Promise<Response>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  for (const [name, source] of Object.entries(sources)) {
    await Deno.mkdir(join(folder, name));
    await Deno.writeTextFile(join(folder, name, "index.ts"), source);
  }
  const functions = mountFunctions(folder);
  const errors = console.error;
  console.error = () => {};
  try {
    await test((path, init) =>
      functions.fetch(new Request(`http://127.0.0.1:54321/functions/v1/${path}`, init), info)
    );
  } finally {
    console.error = errors;
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a function sees the path that the hosted gateway gives it, and the body", () =>
  withFunctions({
    echo: `Deno.serve(async (request) => {
      const { pathname, search } = new URL(request.url);
      return Response.json({ pathname, search, method: request.method, body: await request.text() });
    });`,
  }, async (call) => {
    const response = await call("echo/a/b?c=1", { method: "POST", body: "hello" });
    assert.deepEqual(await response.json(), {
      pathname: "/echo/a/b",
      search: "?c=1",
      method: "POST",
      body: "hello",
    });
    assert.equal((await call("echo", { method: "OPTIONS" })).status, 200);
  }));

Deno.test("Deno.serve() is captured in each of its forms, also when loaded at the same time", () =>
  withFunctions({
    one: `Deno.serve({ port: 1 }, () => new Response("one"));`,
    two: `Deno.serve({ handler: () => new Response("two") });`,
  }, async (call) => {
    const answers = await Promise.all([call("one"), call("two"), call("one")]);
    assert.deepEqual(await Promise.all(answers.map((answer) => answer.text())), [
      "one",
      "two",
      "one",
    ]);
  }));

Deno.test("an unknown function is 404 with a code, and so is a path that is no name", () =>
  withFunctions({}, async (call) => {
    for (const path of ["nope", "", "..%2f..%2fetc", "_bulwark"]) {
      const response = await call(path);
      assert.equal(response.status, 404);
      assert.equal((await response.json()).code, "NOT_FOUND");
    }
  }));

Deno.test("a function that throws is 500 with a correlation id and nothing of the error", () =>
  withFunctions({
    throws: `Deno.serve(() => { throw new Error("secret"); });`,
    broken: `this is no TypeScript`,
    idle: `export {};`,
  }, async (call) => {
    for (const name of ["throws", "broken", "idle"]) {
      const response = await call(name);
      assert.equal(response.status, 500);
      const body = await response.json();
      assert.equal(body.code, "INTERNAL");
      assert.match(body.correlation_id, /^[0-9a-f-]{36}$/);
      assert.ok(!JSON.stringify(body).includes("secret"));
    }
  }));
