/** A thread with a receiver that answers at once and says when the marked deliveries arrived. */
/// <reference lib="deno.worker" />

const arrivals: [id: string, at: number][] = [];

const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: () => {} },
  async (request) => {
    const text = await request.text();
    // Only what is timed carries this resource; the backlog is not kept.
    if (text.includes('"bench.timed"')) {
      arrivals.push([JSON.parse(text).data.id, performance.timeOrigin + performance.now()]);
    }
    return new Response("ok");
  },
);

self.onmessage = () => self.postMessage(arrivals.splice(0));
self.postMessage(server.addr.port);
