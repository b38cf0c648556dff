import assert from "node:assert/strict";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import { checkPermissions } from "../../../supabase/functions/_bulwark/rbac/permissions.ts";

Deno.test("a permission that the database did not speak of is denied", async () => {
  const held = [{ version: "1", permissions: ["org:read"] }];
  // A Data API that is told to send at most one row cuts the answer off.
  const rows = [{ permission: "audit:read", allowed: false }];
  const rpc = (name: string) =>
    Promise.resolve({ data: name === "my_permissions" ? held : rows, error: null, status: 200 });
  const client = { rpc } as unknown as CallerClient;
  assert.deepEqual(
    await checkPermissions(client, ["org:read", "audit:read", "role:grant"], null),
    { "org:read": true, "audit:read": false, "role:grant": false },
  );
});
