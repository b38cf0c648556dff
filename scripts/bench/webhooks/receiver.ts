/**
 * A thread with a receiver that answers at once, keeps connections open like servers do, and
 * reports when marked deliveries arrived. Not Deno.serve, which closes a connection after a request
 * of more than half a kilobyte.
 */
/// <reference lib="deno.worker" />
import { readRequest, startReceiver } from "../../../tests/webhooks/unit/fixtures.ts";

const arrivals: [id: string, at: number][] = [];
const answer = new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

const receiver = startReceiver(async (connection) => {
  for (;;) {
    const request = await readRequest(connection);
    if (request === "") return;
    // Only timed deliveries have this resource; the backlog is not stored.
    if (request.includes('"bench.timed"')) {
      const { data } = JSON.parse(request.slice(request.indexOf("\r\n\r\n")));
      arrivals.push([data.id, performance.timeOrigin + performance.now()]);
    }
    await connection.write(answer);
  }
});

self.onmessage = () => self.postMessage(arrivals.splice(0));
self.postMessage(receiver.port);
