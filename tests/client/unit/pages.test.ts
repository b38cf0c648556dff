import assert from "node:assert/strict";
import { PostgrestClient } from "@supabase/postgrest-js";
import { createBulwark } from "../../../clients/js/src/index.ts";

Deno.test("CLIENT-33: a project that limits the rows of an answer hides none of a list", async () => {
  const asked: (string | undefined)[] = [];
  const keys = Array.from({ length: 5 }, (_, index) => ({ id: `key-${9 - index}` }));
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { before } = await request.json();
      asked.push(before);
      const older = keys.filter(({ id }) => before === undefined || id < before);
      return Response.json(older.slice(0, 2));
    },
  );
  const rest = new PostgrestClient(`http://127.0.0.1:${server.addr.port}`, { schema: "bulwark" });
  const bulwark = createBulwark({
    rpc: (name: string, args: object) => rest.rpc(name, args),
    from: (table: string) => rest.from(table),
    functions: { invoke: () => Promise.reject(new Error("no function is called")) },
  });
  const found: string[] = [];
  for await (const { id } of bulwark.apiKeys.all("organization")) found.push(id);
  assert.deepEqual(found, keys.map(({ id }) => id));
  assert.deepEqual(asked, [undefined, "key-8", "key-6", "key-5"]);
});
