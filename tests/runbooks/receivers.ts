/** Shared by the tests of runbooks: a sink of checkpoints that can be away. */

/** A sink on loopback. */
export interface CheckpointReceiver {
  url: string;
  /** Answers 503 from now on. */
  away: boolean;
  notes: string[];
  stop(): Promise<void>;
}

export function receiveCheckpoints(): CheckpointReceiver {
  const notes: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      if (receiver.away) return new Response("away", { status: 503 });
      if (request.method === "GET") {
        return new Response(notes.at(-1) ?? "", { status: notes.length ? 200 : 404 });
      }
      notes.push(await request.text());
      return new Response("kept");
    },
  );
  const receiver: CheckpointReceiver = {
    url: `http://127.0.0.1:${server.addr.port}/`,
    away: false,
    notes,
    stop: () => server.shutdown(),
  };
  return receiver;
}
