/** Connections of send() that are reused, and those that must not be. */
import assert from "node:assert/strict";
import { dialer } from "../../../supabase/functions/_bulwark/webhooks/connection.ts";
import { ExchangeFailure } from "../../../supabase/functions/_bulwark/webhooks/exchange.ts";
import {
  answering,
  type Behaviour,
  makeCertificate,
  message,
  network,
  ok,
  posting,
  readRequest,
  startReceiver,
} from "./fixtures.ts";
import { openPool } from "../../../supabase/functions/_bulwark/webhooks/pool.ts";
import { send } from "../../../supabase/functions/_bulwark/webhooks/send.ts";

Deno.test("send() uses a connection again whose answer was read whole", () =>
  posting(answering(ok), async (post, receiver) => {
    for (let i = 0; i < 3; i++) assert.equal((await post()).status, 200);
    assert.equal(receiver.connections, 1);
    assert.equal(receiver.received.length, 3);
  }));

Deno.test("send() does not use a connection again that has more to say, or is closing", async () => {
  for (
    const answer of [
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
      "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
      // A proxy in between may see another end.
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokHTTP\r\n0\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ]
  ) {
    await posting(answering(answer), async (post, receiver) => {
      await post();
      await post();
      assert.equal(receiver.connections, 2, answer);
    });
  }
});

/** A receiver that answers the first request of each connection and then behaves as given. */
const thenOnce = (then: (connection: Deno.Conn) => Promise<unknown>): Behaviour => {
  let connections = 0;
  return async (connection, receiver) => {
    const isFirst = ++connections === 1;
    receiver.received.push(await readRequest(connection));
    await connection.write(new TextEncoder().encode(ok));
    if (isFirst) await then(connection);
    else await answering(ok)(connection, receiver);
  };
};
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const after = (answer: string) => async (connection: Deno.Conn) => {
  await readRequest(connection);
  await connection.write(new TextEncoder().encode(answer));
};

Deno.test("send() dials anew where a connection that was kept ends before an answer begins", async () => {
  const ends: Record<string, (connection: Deno.Conn) => Promise<unknown>> = {
    "closed while idle": () => Promise.resolve(),
    "closed when the request arrives": (connection) => connection.read(new Uint8Array(1)),
    "closed after it was read": readRequest,
    "left something behind": async (connection) => {
      await connection.write(new TextEncoder().encode("late body"));
      await pause(200);
    },
    "left something behind that is no answer": after("late body"),
    "left an empty line behind and closed": after("\r\n"),
  };
  for (const [what, then] of Object.entries(ends)) {
    for (const wait of [0, 50]) {
      await posting(thenOnce(then), async (post, receiver) => {
        assert.equal((await post()).status, 200);
        await pause(wait);
        assert.equal((await post()).status, 200, `${what}, after ${wait} ms`);
        assert.equal(receiver.connections, 2, what);
      });
    }
  }
});

Deno.test("send() dials anew once, and not where an answer began or the connection was fresh", async () => {
  for (
    const began of [
      "H",
      "HTTP/1.1 200",
      "HTTP/1.1 102 Processing\r\n\r\n",
      "HTTP/1.1 200 OK\r\nx: 1\r\n",
    ]
  ) {
    await posting(thenOnce(after(began)), async (post, receiver) => {
      assert.equal((await post()).status, 200);
      await assert.rejects(post(), ExchangeFailure, began);
      assert.equal(receiver.connections, 1, began);
    });
  }
  await posting((connection) => readRequest(connection), async (post, receiver) => {
    await assert.rejects(post(), ExchangeFailure);
    assert.equal(receiver.connections, 1);
  });
  // The second connection ends in the same way, and there is no third.
  let requests = 0;
  await posting(async (connection) => {
    await readRequest(connection);
    if (requests++ > 0) return;
    await connection.write(new TextEncoder().encode(ok));
    await readRequest(connection);
  }, async (post, receiver) => {
    assert.equal((await post()).status, 200);
    await assert.rejects(post(), ExchangeFailure);
    assert.equal(receiver.connections, 2);
  });
});

Deno.test("send() dials anew after TLS was closed", async () => {
  const name = "receiver.example.test";
  const { ca, cert, key } = await makeCertificate(name);
  await using receiver = startReceiver(thenOnce(() => Promise.resolve()), { cert, key });
  using net = network({ dial: dialer([ca]) });
  const url = new URL(`https://${name}:${receiver.port}/`);
  for (const wait of [0, 50, 0, 0]) {
    assert.equal((await send(net, url, message)).status, 200);
    await pause(wait);
  }
  assert.equal(receiver.connections, 2);
});

Deno.test("send() keeps a connection no longer than the receiver says", async () => {
  const short = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=5\r\nContent-Length: 2\r\n\r\nok";
  let now = 0;
  const pool = openPool(() => now);
  await posting(answering(short), async (post, receiver) => {
    await post();
    now += 790;
    await post();
    assert.equal(receiver.connections, 1);
    now += 810;
    await post();
    assert.equal(receiver.connections, 2);
  }, { pool });
  pool.close();
});

Deno.test("send() reads the answer of a receiver that refuses before it has read all", () =>
  posting(async (connection) => {
    await connection.read(new Uint8Array(64));
    await connection.write(
      new TextEncoder().encode("HTTP/1.1 413 x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
    );
    await pause(100);
  }, async (post) => void assert.equal((await post()).status, 413)));

Deno.test("send() shares a connection with no other endpoint, whatever the receiver left in it", async () => {
  await using receiver = startReceiver(answering(ok));
  using net = network();
  const url = new URL(`http://127.0.0.1:${receiver.port}/`);
  await send(net, url, message);
  await send(net, url, { ...message, owner: "another" });
  assert.equal(receiver.connections, 2);
});

Deno.test("send() asks the resolver for a connection and not for each message", async () => {
  await using receiver = startReceiver(answering(ok));
  let asked = 0;
  using net = network({
    resolve: () => {
      asked++;
      return Promise.resolve(["127.0.0.1"]);
    },
  });
  for (let i = 0; i < 3; i++) {
    await send(net, new URL(`http://localhost:${receiver.port}/`), message);
  }
  assert.deepEqual([asked, receiver.connections], [1, 1]);
});
