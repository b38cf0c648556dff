import assert from "node:assert/strict";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import { dataKeyStore } from "../../../supabase/functions/_bulwark/encryption/store.ts";

Deno.test("keys that many rows name at once are read in a few questions", async () => {
  const known = crypto.randomUUID();
  const asked: string[][] = [];
  const client = {
    rpc(_: string, { key_ids }: { key_ids: string[] }) {
      asked.push(key_ids);
      const data = key_ids.filter((id) => id === known).map((id) => ({
        id,
        organization_id: null,
        purpose: "field",
        version: 1,
        wrapped_key: "wrapped",
      }));
      return Promise.resolve({ data, error: null, status: 200 });
    },
  } as unknown as CallerClient;
  const store = dataKeyStore(client);
  const ids = [...Array.from({ length: 199 }, () => crypto.randomUUID()), known];
  const found = await Promise.all(ids.map((id) => store.read([id])));
  assert.equal(asked.flat().length, 200);
  assert.equal(asked.length, 2);
  assert.deepEqual(found.flat().map(({ id, wrapped }) => [id, wrapped]), [[known, "wrapped"]]);
  assert.deepEqual(found.at(-1)?.map(({ id }) => id), [known]);
});
