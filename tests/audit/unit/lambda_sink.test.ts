/** The sink of deploy/terraform/checkpoints, with the client that delivers to it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { answer, newestName } from "../../../deploy/terraform/checkpoints/sink/sink.mjs";
import { openSink } from "../../../supabase/functions/_bulwark/audit/sink.ts";

const token = "a token of at least thirty-two characters";
const hash = createHash("sha256").update(token).digest("hex");
const note = (size: number, text = "root") => `log.test/audit\n${size}\n${text}\n\n— signature\n`;

/** A bucket that lists three names at a time, in their order. */
function bucket() {
  const kept = new Map<string, string>();
  let listed = 0;
  const after = (name: string) => {
    listed++;
    const names = [...kept.keys()].sort().filter((other) => other > name).slice(0, 3);
    return Promise.resolve(names.at(-1) ?? null);
  };
  return {
    kept,
    listed: () => listed,
    put(name: string, text: string) {
      if (kept.has(name)) return Promise.resolve(false);
      kept.set(name, text);
      return Promise.resolve(true);
    },
    get: (name: string) => Promise.resolve(kept.get(name) ?? null),
    newest: () => newestName(after),
  };
}

function sinkOver(store: ReturnType<typeof bucket>, sinkToken = token) {
  const sink = openSink({
    url: "https://abc.supabase.co",
    secretKey: "unused",
    sink: "https://sink.test/",
    sinkToken,
    async fetch(input: RequestInfo | URL, init?: RequestInit) {
      const request = new Request(input, init);
      const { statusCode, body, headers } = await answer(
        {
          method: request.method,
          authorization: request.headers.get("authorization") ?? undefined,
          body: await request.text(),
        },
        store,
        hash,
      );
      return new Response(body, { status: statusCode, headers });
    },
  });
  assert.ok(sink);
  return sink;
}

Deno.test("the sink keeps each checkpoint once, and shows the newest of any number", async () => {
  const store = bucket();
  const sink = sinkOver(store);
  assert.equal(await sink.newest(), null);
  for (const size of [1, 2, 9, 10, 11, 100, 5_000, 123_456_789]) {
    await sink.deliver(size, note(size));
    assert.equal(await sink.newest(), note(size));
  }
  await sink.deliver(100, note(100));
  assert.equal(await sink.newest(), note(123_456_789), "an old one again changes nothing");
  await assert.rejects(sink.deliver(100, note(100, "another root")), /409/);
  assert.equal(store.kept.get("checkpoints/0000000000000100.txt"), note(100));
  const before = store.listed();
  await sink.newest();
  assert.ok(store.listed() - before < 70, "it does not list everything");
});

Deno.test("the sink refuses other tokens and what is no checkpoint", async () => {
  const store = bucket();
  for (const wrong of ["", "x", `${token}x`]) {
    await assert.rejects(sinkOver(store, wrong).deliver(1, note(1)), /401/);
  }
  const sink = sinkOver(store);
  for (const text of ["", "log\n-1\n", "log\n01\n", "log\n1e3\n", `log\n1\n${"x".repeat(9000)}`]) {
    await assert.rejects(sink.deliver(1, text), /400/, text.slice(0, 20));
  }
  assert.equal(store.kept.size, 0);
  const put = { method: "PUT", authorization: `Bearer ${token}`, body: note(1) };
  assert.equal((await answer(put, store, hash)).statusCode, 405);
});
