import assert from "node:assert/strict";
import { dialer, type Target } from "../../../supabase/functions/_bulwark/webhooks/connection.ts";
import {
  ExchangeFailure,
  writeRequest,
} from "../../../supabase/functions/_bulwark/webhooks/exchange.ts";
import {
  answering,
  makeCertificate,
  message,
  network,
  ok,
  posting,
  readRequest,
  startReceiver,
} from "./fixtures.ts";
import {
  AddressRefused,
  send,
  TimedOut,
} from "../../../supabase/functions/_bulwark/webhooks/send.ts";

const name = "receiver.example.test";

Deno.test("send() resolves a name once and connects to the address it judged", async () => {
  const answers = [["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]];
  const dialed: Target[] = [];
  let asked = 0;
  using net = network({
    policy: { allowLoopback: false },
    resolve: () => Promise.resolve(answers[asked++] ?? []),
    dial: (target) => {
      dialed.push(target);
      return Promise.reject(new Error("not from here"));
    },
  });
  await assert.rejects(send(net, new URL("https://rebinding.example/"), message));
  assert.equal(asked, 1);
  assert.deepEqual(dialed, [{ address: "93.184.216.34", port: 443, tlsName: "rebinding.example" }]);
});

Deno.test("send() does not connect at all when one address of a name is not public", async () => {
  const names: string[][] = [
    ["93.184.216.34", "10.0.0.1"],
    ["127.0.0.1"],
    ["::1"],
    ["169.254.169.254"],
    ["2606:2800:220:1::1", "::ffff:192.168.1.1"],
    [],
    ["nonsense"],
  ];
  for (const addresses of names) {
    let dialed = 0;
    using net = network({
      policy: { allowLoopback: false },
      resolve: () => Promise.resolve(addresses),
      dial: () => Promise.reject(new Error(`dialed ${dialed++}`)),
    });
    await assert.rejects(send(net, new URL("https://example.com/"), message), AddressRefused);
    assert.equal(dialed, 0);
  }
});

Deno.test("send() tries the next address when one does not answer the connection", async () => {
  await using receiver = startReceiver(answering(ok));
  using net = network({ resolve: () => Promise.resolve(["::1", "127.0.0.1"]) });
  const answer = await send(net, new URL(`http://localhost:${receiver.port}/`), message);
  assert.equal(answer.status, 200);
});

Deno.test("send() speaks TLS with the name while it connects to the address", async () => {
  const { ca, cert, key } = await makeCertificate(name);
  await using receiver = startReceiver(answering(ok), { cert, key });
  using net = network({ dial: dialer([ca]) });
  const answer = await send(net, new URL(`https://${name}:${receiver.port}/hook?x=1`), message);
  assert.equal(answer.status, 200);
  assert.match(
    receiver.received[0] ?? "",
    /^POST \/hook\?x=1 HTTP\/1\.1\r\nhost: receiver\.example\.test:\d+\r\n/,
  );
  assert.ok(receiver.received[0]?.endsWith(`\r\n\r\n${message.body}`));
});

Deno.test("send() refuses a certificate for another name, and one of an unknown authority", async () => {
  const { ca, cert, key } = await makeCertificate("other.example.test");
  await using receiver = startReceiver(answering(ok), { cert, key });
  for (const [url, authorities] of [[name, [ca]], ["other.example.test", []]] as const) {
    using net = network({ dial: dialer([...authorities]) });
    await assert.rejects(send(net, new URL(`https://${url}:${receiver.port}/`), message), {
      name: "ConnectionFailure",
      message: "the TLS handshake failed",
    });
  }
  assert.deepEqual(receiver.received, []);
});

Deno.test("send() gives up a receiver that hangs, and hangs up", async () => {
  let hungUp: (value: unknown) => void;
  const end = new Promise((resolve) => hungUp = resolve);
  await posting(async (connection) => {
    await readRequest(connection);
    hungUp(await connection.read(new Uint8Array(1)).catch(() => null));
  }, async (post) => {
    await assert.rejects(post(), TimedOut);
    assert.equal(await end, null);
  }, { timeoutMs: 300 });
});

Deno.test("send() gives up a receiver that never accepts", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using net = network({ timeoutMs: 300 });
  await assert.rejects(
    send(net, new URL(`http://127.0.0.1:${listener.addr.port}/`), message),
    TimedOut,
  );
  listener.close();
});

Deno.test("send() waits for a receiver that is slow to accept", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using net = network();
  const sending = send(net, new URL(`http://127.0.0.1:${listener.addr.port}/`), message);
  await new Promise((resolve) => setTimeout(resolve, 400));
  const connection = await listener.accept();
  await readRequest(connection);
  await connection.write(new TextEncoder().encode(ok));
  assert.equal((await sending).status, 200);
  connection.close();
  listener.close();
});

Deno.test("send() gives up a receiver that drips its answer, however busy it looks", async () => {
  await posting(
    async (connection) => {
      await readRequest(connection);
      await connection.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\n"));
      for (;;) {
        await connection.write(new TextEncoder().encode("x-slow: 1\r\n"));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async (post) => void await assert.rejects(post(), TimedOut),
    { timeoutMs: 400 },
  );
});

for (
  const [what, answer] of [
    ["at once", ""],
    ["in the status line", "HTTP/1.1 20"],
    ["in the head", "HTTP/1.1 200 OK\r\nContent-"],
    ["after an interim answer", "HTTP/1.1 100 Continue\r\n\r\n"],
  ] as const
) {
  Deno.test(`send() fails when the receiver closes ${what}`, () =>
    posting(answering(answer), async (post) => void await assert.rejects(post())));
}

Deno.test("send() has its answer when the receiver closes in the body", () =>
  posting(answering("HTTP/1.1 202 Accepted\r\nX: Content\r\n\r\nhalf an ans"), async (post) => {
    const { status, body, reusable } = await post();
    assert.equal(status, 202);
    assert.equal(new TextDecoder().decode(body), "half an ans");
    assert.equal(reusable, false);
  }));

Deno.test("send() reads the beginning of 10 MB and hangs up", () =>
  posting(async (connection, receiver) => {
    await readRequest(connection);
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${10 * 1024 * 1024}\r\n\r\n`;
    await connection.write(new TextEncoder().encode(head));
    const block = new Uint8Array(65_536).fill(97);
    let written = 0;
    try {
      while (written < 10 * 1024 * 1024) written += await connection.write(block);
    } finally {
      receiver.received.push(String(written));
    }
  }, async (post, receiver) => {
    const { status, body } = await post();
    assert.equal(status, 200);
    assert.equal(body.length, 64 * 1024);
    while (receiver.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.ok(Number(receiver.received[0]) < 10 * 1024 * 1024, "it could not send all");
  }));

for (
  const [what, answer] of [
    ["an endless header", `HTTP/1.1 200 OK\r\nx: ${"x".repeat(70_000)}\r\n\r\n`],
    ["endless headers", `HTTP/1.1 200 OK\r\n${"x: 1\r\n".repeat(10_000)}\r\n`],
    ["a folded line before any header", "HTTP/1.1 200 OK\r\n x: 1\r\nContent-Length: 0\r\n\r\n"],
    ["half a status line", "HTTP/1.1 2"],
    ["a status that is none", "HTTP/1.1 20x OK\r\n\r\n"],
    ["endless empty lines", "\r\n".repeat(40_000)],
    ["a name with a space", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"],
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["a header without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n"],
  ] as const
) {
  Deno.test(`send() does not read ${what}`, () =>
    posting(answering(answer), async (post) => void await assert.rejects(post(), ExchangeFailure)));
}

Deno.test("send() does not wait for the end of endless interim answers", () =>
  posting(async (connection) => {
    await readRequest(connection);
    const interim = new TextEncoder().encode("HTTP/1.1 100 Continue\r\n\r\n".repeat(100));
    for (;;) await connection.write(interim);
  }, async (post) => void await assert.rejects(post(), ExchangeFailure)));

Deno.test("send() understands chunks, interim answers and answers without a body", async () => {
  const answers: [string, number, string][] = [
    [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\nT: 1\r\n\r\n",
      200,
      "abcde",
    ],
    [
      "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\n!",
      201,
      "!",
    ],
    ["HTTP/1.1 204 No Content\r\n\r\n", 204, ""],
    ["HTTP/1.0 200\r\n\r\nold", 200, "old"],
    ["HTTP/1.1 204\r\n\r\n", 204, ""],
    ["\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"],
    ["HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"],
    ["HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok"],
    ["HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\n c\r\nCONTENT-LENGTH:2\r\n\r\nok", 200, "ok"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, "ok"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", 200, "ok"],
    [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" +
      '0002 ; name="a;b"\r\nok\r\n000;last\r\nTrailer: 1\r\n folded\r\n\r\n',
      200,
      "ok",
    ],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok"],
  ];
  for (const [bytes, status, body] of answers) {
    await posting(answering(bytes), async (post) => {
      const answer = await post();
      assert.equal(answer.status, status);
      assert.equal(new TextDecoder().decode(answer.body), body);
    });
  }
});

Deno.test("send() reads an answer that comes byte by byte, at no cost worth mentioning", () =>
  posting(async (connection) => {
    await readRequest(connection);
    const answer = `HTTP/1.1 200 OK\r\n${"x: 1\r\n".repeat(300)}Content-Length: 2\r\n\r\nok`;
    for (const byte of new TextEncoder().encode(answer)) {
      await connection.write(new Uint8Array([byte]));
    }
  }, async (post) => {
    const { status, body } = await post();
    assert.equal(status, 200);
    assert.equal(new TextDecoder().decode(body), "ok");
  }));

Deno.test("send() gives up a receiver that accepts and says nothing of TLS, in time", async () => {
  await using receiver = startReceiver((connection) =>
    connection.read(new Uint8Array(1024)).then(
      () => new Promise((resolve) => setTimeout(resolve, 4000)),
    )
  );
  using net = network({ connectTimeoutMs: 200 });
  const started = performance.now();
  await assert.rejects(
    send(net, new URL(`https://localhost:${receiver.port}/`), message),
    { name: "ConnectionFailure", message: "no connection in time" },
  );
  assert.ok(performance.now() - started < 3500);
});

Deno.test("send() goes through no proxy, whatever the environment says", async () => {
  await using proxy = startReceiver(answering(ok));
  await using receiver = startReceiver(answering(ok));
  const names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
  for (const name of names) Deno.env.set(name, `http://127.0.0.1:${proxy.port}`);
  try {
    using net = network();
    await send(net, new URL(`http://127.0.0.1:${receiver.port}/`), message);
  } finally {
    for (const name of names) Deno.env.delete(name);
  }
  assert.deepEqual([proxy.connections, receiver.connections], [0, 1]);
});

Deno.test("send() follows no redirect unless it is told to", async () => {
  await using inner = startReceiver(answering(ok));
  const redirect =
    `HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:${inner.port}/inner\r\nContent-Length: 0\r\n\r\n`;
  await using outer = startReceiver(answering(redirect));
  using net = network();
  const url = new URL(`http://127.0.0.1:${outer.port}/`);
  assert.equal((await send(net, url, message)).status, 307);
  assert.equal(inner.connections, 0);
  assert.equal((await send(net, url, message, true)).status, 200);
  assert.match(inner.received[0] ?? "", /^POST \/inner HTTP.*webhook-id: 1\r\n.*webhook\.test/s);
});

Deno.test("send() judges each address on the way", async () => {
  const refused = [
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://example.com/",
    "file:///etc/passwd",
    "https://user:x@example.com/",
    "//[::ffff:10.0.0.1]/",
    "https://intranet/",
  ];
  for (const location of refused) {
    const redirect = `HTTP/1.1 308 Permanent\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
    await using receiver = startReceiver(answering(redirect));
    using net = network();
    const url = new URL(`http://127.0.0.1:${receiver.port}/`);
    await assert.rejects(send(net, url, message, true), AddressRefused, location);
  }
  // A public name that resolves to a private address is refused at the redirect.
  const redirect =
    "HTTP/1.1 307 x\r\nLocation: https://rebinding.example/\r\nContent-Length: 0\r\n\r\n";
  await using receiver = startReceiver(answering(redirect));
  using net = network({
    resolve: ({ hostname }) => Promise.resolve([hostname === "127.0.0.1" ? hostname : "10.0.0.1"]),
  });
  await assert.rejects(
    send(net, new URL(`http://127.0.0.1:${receiver.port}/`), message, true),
    AddressRefused,
  );
});

Deno.test("send() follows three redirects and no more, and none that changes the method", async () => {
  const circle = "HTTP/1.1 307 x\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
  await using receiver = startReceiver(answering(circle));
  using net = network();
  const url = new URL(`http://127.0.0.1:${receiver.port}/`);
  assert.equal((await send(net, url, message, true)).status, 307);
  assert.equal(receiver.received.length, 4);
  for (const status of [301, 302, 303]) {
    await posting(
      answering(`HTTP/1.1 ${status} x\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n`),
      async (post, receiver) => {
        assert.equal((await post()).status, status);
        assert.equal(receiver.received.length, 1);
      },
    );
  }
});

Deno.test("writeRequest() refuses a header that would break out of its line", () => {
  const url = new URL("https://example.com/");
  for (const value of ["a\r\nx: b", "a\nb", "a\0b", "ä"]) {
    assert.throws(() => writeRequest(url, { "webhook-id": value }, ""), TypeError);
  }
  assert.throws(() => writeRequest(url, { "a b": "c" }, ""), TypeError);
});

Deno.test("writeRequest() counts the body in bytes", () => {
  const bytes = writeRequest(new URL("https://example.com/a?b=c"), { accept: "*/*" }, "ä€");
  assert.equal(
    new TextDecoder().decode(bytes),
    "POST /a?b=c HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\ncontent-length: 5\r\n\r\nä€",
  );
});
