import assert from "node:assert/strict";
import { inRepository } from "../../../scripts/stack/paths.ts";
import { openClient } from "../../../supabase/functions/_bulwark/foundation/clients.ts";
import { BulwarkError, unwrap } from "../../../supabase/functions/_bulwark/foundation/errors.ts";

const codeOf = (thrown: unknown) =>
  thrown instanceof BulwarkError ? `${thrown.status} ${thrown.code}` : String(thrown);

Deno.test("openClient() waits for nobody for ever, be it for a head or for a body", async () => {
  let [head, body] = [true, false];
  const late = Promise.withResolvers<Response>();
  const server = Deno.serve({ port: 0, onListen: () => {} }, () => {
    if (!head) return late.promise;
    const stalled = new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode("["));
        await late.promise;
        controller.close();
      },
    });
    return body ? new Response(stalled) : Response.json([]);
  });
  const ask = async (timeoutMs: number) => {
    const client = openClient(`http://localhost:${server.addr.port}`, "key", { timeoutMs });
    try {
      unwrap(await client.from("roles").select());
      return "answered";
    } catch (thrown) {
      return codeOf(thrown);
    }
  };
  try {
    assert.equal(await ask(5000), "answered");
    head = false;
    assert.equal(await ask(100), "503 DATA_API_UNAVAILABLE");
    [head, body] = [true, true];
    assert.equal(await ask(100), "503 DATA_API_UNAVAILABLE");
    body = false;
    assert.equal(await ask(5000), "answered");
  } finally {
    late.resolve(new Response());
    await server.shutdown();
  }
  assert.equal(await ask(100), "503 DATA_API_UNAVAILABLE", "nobody listens");
});

/** A project that answers each question when the test says so. */
function project() {
  const answers: (() => void)[] = [];
  const fetch = (_url: unknown, { signal }: RequestInit = {}) =>
    new Promise<Response>((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
      answers.push(() => resolve(Response.json([])));
    });
  const ask = async (timeoutMs = 5000) => {
    const client = openClient("http://localhost", "key", { timeoutMs, fetch: fetch as never });
    return (await client.from("roles").select()).status === 200 ? "answered" : "late";
  };
  return { ask, answers };
}
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

Deno.test("openClient() waits shortly for a project that was silent, until it is heard", async () => {
  const { ask, answers } = project();
  assert.equal(await ask(50), "late");
  assert.equal(await ask(), "late", "nobody answered yet");
  // Too late for the one who asked, but a sign of life.
  answers[1]?.();
  await pause(1);
  const answer = ask();
  await pause(1200);
  answers[2]?.();
  assert.equal(await answer, "answered");
});

Deno.test("openClient() does not take a project for silent that answers others meanwhile", async () => {
  const { ask, answers } = project();
  const first = ask(200);
  const second = ask();
  await pause(50);
  answers[1]?.();
  assert.deepEqual([await second, await first], ["answered", "late"]);
  const third = ask();
  await pause(1200);
  answers[2]?.();
  assert.equal(await third, "answered");
});

Deno.test("openClient() asks once, whatever the answer", async () => {
  let questions = 0;
  const server = Deno.serve({ port: 0, onListen: () => {} }, () => {
    questions++;
    return new Response("{}", { status: 503, headers: { "retry-after": "86400" } });
  });
  const client = openClient(`http://localhost:${server.addr.port}`, "key");
  assert.equal((await client.from("roles").select()).status, 503);
  await server.shutdown();
  assert.equal((await client.from("roles").select()).status, 0, "nobody listens");
  assert.equal(questions, 1);
});

Deno.test("unwrap() says that nobody decided, wherever that comes from", () => {
  const cases = [
    [504, "", "<html>Gateway"],
    [503, "PGRST001", "no connection"],
    [504, "PGRST003", "no connection in the pool"],
    [500, "57014", "canceling statement due to statement timeout"],
    [500, "57P03", "the database system is starting up"],
    [500, "53300", "too many connections"],
    [500, "55P03", "canceling statement due to lock timeout"],
  ] as const;
  for (const [status, code, message] of cases) {
    const answer = { data: null, error: { code, message }, status };
    assert.throws(() => unwrap(answer), { status: 503, code: "DATA_API_UNAVAILABLE" }, code);
  }
});

Deno.test("clients are made in one place, and credentials are read in one place", async () => {
  const places: Record<string, string[]> = { createClient: [], authorization: [] };
  const look = async (folder: string) => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const path = `${folder}/${name}`;
      if (isDirectory) await look(path);
      else if (name.endsWith(".ts") && !name.endsWith(".test.ts")) {
        const source = await Deno.readTextFile(path);
        if (/\bcreateClient\b/.test(source)) places.createClient?.push(name);
        if (/get\("authorization"\)/i.test(source)) places.authorization?.push(name);
      }
    }
  };
  await look(inRepository("supabase", "functions"));
  assert.deepEqual(places, { createClient: ["clients.ts"], authorization: ["credentials.ts"] });
});
