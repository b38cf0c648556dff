import assert from "node:assert/strict";
import {
  OddSinkError,
  openSink,
  type SinkOptions,
} from "../../../supabase/functions/_bulwark/audit/sink.ts";

interface Sent {
  url: string;
  init: RequestInit;
}

/** A sink whose requests get these answers, with the requests it sent. */
function sinkWith(sink: string | null, ...answers: (Response | Error)[]) {
  const sent: Sent[] = [];
  const options: SinkOptions = {
    url: "https://project.test",
    secretKey: "sb_secret_x",
    sink,
    sinkToken: "t0ken",
    fetch: (input, init) => {
      sent.push({ url: String(input), init: init ?? {} });
      const answer = answers.shift() ?? new Response(null, { status: 500 });
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
  };
  return { sink: openSink(options), sent };
}

Deno.test("an HTTP sink gets the note with its token, follows no redirect and has a time limit", async () => {
  const { sink, sent } = sinkWith("https://sink.test/log?x=1", new Response("fine"));
  await sink?.deliver(7, "note");
  assert.equal(sent[0]?.url, "https://sink.test/log?x=1");
  assert.equal(sent[0]?.init.body, "note");
  assert.equal(sent[0]?.init.redirect, "error");
  assert.ok(sent[0]?.init.signal);
  assert.equal(new Headers(sent[0]?.init.headers).get("authorization"), "Bearer t0ken");
  assert.equal(sink?.name, "https://sink.test/log");
  const refusing = sinkWith("https://sink.test/log", new Response("secret", { status: 503 }));
  await assert.rejects(refusing.sink!.deliver(7, "note"), /^Error: the sink answered 503$/);
});

Deno.test("a bucket never overwrites, and takes the same note twice", async () => {
  const taken = () => new Response("Duplicate", { status: 400 });
  const first = sinkWith("storage:audit", new Response("fine"));
  await first.sink?.deliver(7, "note");
  assert.equal(
    first.sent[0]?.url,
    "https://project.test/storage/v1/object/audit/checkpoints/0000000000000007.txt",
  );
  assert.equal(new Headers(first.sent[0]?.init.headers).get("x-upsert"), "false");
  await sinkWith("storage:audit", taken(), new Response("note")).sink?.deliver(7, "note");
  const other = sinkWith("storage:audit", taken(), new Response("another"));
  await assert.rejects(other.sink!.deliver(7, "note"), /another checkpoint of this size/);
  const missing = sinkWith("storage:audit", new Response(null, { status: 404 }));
  await assert.rejects(missing.sink!.deliver(7, "note"), /answered 404/);
});

Deno.test("a sink shows its newest note, or that it shows none", async () => {
  const note = "log\n7\nroot\n\n\u2014 log AAAA\n";
  const http = sinkWith("https://sink.test/log", new Response(note));
  assert.equal(await http.sink?.newest(), note);
  assert.equal(new Headers(http.sent[0]?.init.headers).get("authorization"), "Bearer t0ken");
  for (const status of [404, 405, 501]) {
    const sink = sinkWith("https://sink.test/log", new Response(note, { status }));
    assert.equal(await sink.sink?.newest(), null);
  }
  const page = sinkWith("https://sink.test/log", new Response("<html></html>"));
  assert.equal(await page.sink?.newest(), null);
  const long = sinkWith("https://sink.test/log", new Response(note + " ".repeat(9000)));
  assert.equal(await long.sink?.newest(), null);
  await assert.rejects(sinkWith("https://sink.test/log").sink!.newest(), /answered 500/);
  const listed = Response.json([{ name: "0000000000000007.txt" }]);
  const bucket = sinkWith("storage:audit", listed, new Response(note));
  assert.equal(await bucket.sink?.newest(), note);
  assert.equal(
    bucket.sent[1]?.url,
    "https://project.test/storage/v1/object/audit/checkpoints/0000000000000007.txt",
  );
  const empty = sinkWith("storage:audit", Response.json([]));
  assert.equal(await empty.sink?.newest(), null);
});

Deno.test("a bucket whose newest checkpoint is hidden behind another file is no empty bucket", async () => {
  const note = "log\n7\nroot\n\n\u2014 log AAAA\n";
  const listed = (name: string) => Response.json([{ name }]);
  for (
    const answers of [
      [listed("../../secret")],
      [listed("zzz")],
      [listed("9999999999999999.txt"), new Response(note)],
      [listed("0000000000000009.txt"), new Response("junk")],
      [listed("0000000000000009.txt"), new Response(null, { status: 404 })],
    ]
  ) {
    await assert.rejects(sinkWith("storage:audit", ...answers).sink!.newest(), OddSinkError);
  }
});

Deno.test("of an endless answer of a sink no more than a note is read", async () => {
  let sent = 0;
  const endless = new ReadableStream({
    pull(controller) {
      sent += 1;
      controller.enqueue(new Uint8Array(4096).fill(65));
    },
  });
  const { sink } = sinkWith("https://sink.test/log", new Response(endless));
  assert.equal(await sink?.newest(), null);
  assert.ok(sent < 10);
});

Deno.test("openSink() takes https, this machine and a bucket, and nothing else", () => {
  assert.equal(sinkWith(null).sink, null);
  assert.ok(sinkWith("http://127.0.0.1:9/x").sink);
  for (const wrong of ["http://sink.test", "ftp://sink.test", "sink", "storage:", "storage:a/b"]) {
    assert.throws(() => sinkWith(wrong), /BULWARK_AUDIT_SINK/, wrong);
  }
});
