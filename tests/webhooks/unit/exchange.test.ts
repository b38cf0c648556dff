import assert from "node:assert/strict";
import type { Connection } from "../../../supabase/functions/_bulwark/webhooks/connection.ts";
import { exchange } from "../../../supabase/functions/_bulwark/webhooks/exchange.ts";

/** A connection with a fixed answer that counts the bytes read. */
function answering(text: string): { connection: Connection; read: () => number } {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  const connection = {
    read(into: Uint8Array) {
      const some = bytes.subarray(at, at + into.length);
      into.set(some);
      at += some.length;
      return Promise.resolve(some.length === 0 ? null : some.length);
    },
    write: ({ length }: Uint8Array) => Promise.resolve(length),
    close() {},
  };
  return { connection, read: () => at };
}

const chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const request = new Uint8Array(10);

Deno.test("exchange() reads no more of chunks than of a body, whatever stands in front of each", async () => {
  for (const line of [`1;${"a".repeat(1000)}`, `${"0".repeat(1000)}1`, "1"]) {
    const { connection, read } = answering(
      `${chunked}${`${line}\r\nx\r\n`.repeat(20_000)}0\r\n\r\n`,
    );
    const { status, body, reusable } = await exchange(connection, request);
    assert.deepEqual([status, reusable], [200, false]);
    assert.ok(body.every((byte) => byte === 120));
    assert.ok(read() < 128 * 1024, `${read()} bytes`);
  }
});

Deno.test("exchange() reads a body in as many chunks as servers send", async () => {
  const { connection } = answering(`${chunked}${"8;a=b\r\n12345678\r\n".repeat(900)}0\r\n\r\n`);
  const { body, reusable } = await exchange(connection, request);
  assert.deepEqual([body.length, reusable], [7200, true]);
});

Deno.test("exchange() takes no head of endlessly many lines, nor as many interim answers", async () => {
  for (
    const head of [
      `HTTP/1.1 200 OK\r\n${"a:b\r\n".repeat(2000)}\r\n`,
      `HTTP/1.1 200 OK\r\na: b\r\n${" c\r\n".repeat(2000)}\r\n`,
      `${"HTTP/1.1 100 \r\n\r\n".repeat(1000)}HTTP/1.1 204 \r\n\r\n`,
    ]
  ) {
    await assert.rejects(exchange(answering(head).connection, request), /too many lines/);
  }
});
