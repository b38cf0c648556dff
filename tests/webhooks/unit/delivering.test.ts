import assert from "node:assert/strict";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import type { DataKeys } from "../../../supabase/functions/_bulwark/encryption/mod.ts";
import { deliverFor } from "../../../supabase/functions/_bulwark/webhooks/delivering.ts";

/** A database with this many due deliveries, of an endpoint that cannot be decrypted. */
function database(due: number, hasScheduler = true) {
  const calls: [name: string, args: Record<string, unknown>][] = [];
  const client = {
    rpc(name: string, args: Record<string, unknown>) {
      calls.push([name, args]);
      if (name !== "claim_webhook_deliveries") {
        return Promise.resolve({ data: hasScheduler, error: null });
      }
      const count = Math.min(due, Number(args["maximum"]));
      due -= count;
      const deliveries = Array.from({ length: count }, () => ({
        id: crypto.randomUUID(),
        attempt_id: crypto.randomUUID(),
        endpoint_id: "sealed",
        ordering_key: null,
      }));
      const endpoints = count
        ? [{ id: "sealed", proven: true, timeouts: 0, destination: "not sealed", secrets: [] }]
        : [];
      return Promise.resolve({ data: { deliveries, endpoints }, error: null });
    },
  };
  const delivering = {
    client: client as unknown as CallerClient,
    keys: {} as DataKeys,
    policy: { allowLoopback: false },
    source: "bulwark.test",
  };
  const continued = () => calls.filter(([name]) => name === "continue_webhook_deliveries");
  return { delivering, continued };
}

Deno.test("deliverFor() has what is more than a run may deliver done by another, for the rest of its time", async () => {
  const { delivering, continued } = database(1500);
  const report = await deliverFor(delivering, 10, new AbortController().signal);
  assert.deepEqual(report, { claimed: 1000, delivered: 0, failed: 1000 });
  const [[, asked] = ["", {}], ...more] = continued();
  const seconds = Number(asked["wait_seconds"]);
  assert.ok(seconds > 0 && seconds < 10, String(seconds));
  assert.deepEqual(more, []);
});

Deno.test("deliverFor() starts no other run where nothing is left, or no time", async () => {
  for (const [due, seconds] of [[10, 0.2], [1500, 0.1]] as const) {
    const { delivering, continued } = database(due);
    await deliverFor(delivering, seconds, new AbortController().signal);
    assert.deepEqual(continued(), []);
  }
});

Deno.test("deliverFor() goes on by itself where no other run can be started", async () => {
  const { delivering, continued } = database(2500, false);
  const report = await deliverFor(delivering, 0, new AbortController().signal);
  assert.deepEqual(report, { claimed: 2500, delivered: 0, failed: 2500 });
  assert.equal(continued().length, 2);
});
