import assert from "node:assert/strict";
import { makeCheckpoint, readLogKeys } from "./checkpoint.ts";
import { toBase64 } from "./encoding.ts";
import type { CheckpointLog, StoredCheckpoint } from "./log.ts";
import { leafHash, merkleRoot } from "./merkle.ts";
import { formatVerifierKey, openCheckpoint } from "./note.ts";
import type { Sink } from "./sink.ts";

const origin = "example.test/audit";
const seed = (byte: number) => toBase64(new Uint8Array(32).fill(byte));
const keysOf = (signingKeys: string | null, retiredKeys = "") =>
  readLogKeys({ signingKeys, retiredKeys, origin });

/** A log in memory, of one, two or three seals. */
async function makeLog() {
  const leaves = await Promise.all([1, 2, 3].map((byte) => leafHash(Uint8Array.of(byte))));
  const state = {
    size: 1,
    leaves,
    stored: [] as StoredCheckpoint[],
    waiting: [] as StoredCheckpoint[],
    errors: [] as (string | null)[],
    refusals: [] as Record<string, string | number>[],
  };
  const root = async (size: number) => toBase64(await merkleRoot(state.leaves.slice(0, size)));
  const log: CheckpointLog = {
    seal: () => Promise.resolve(),
    head: async () => ({ size: state.size, root: await root(state.size) }),
    newest: () => Promise.resolve(state.stored.at(-1) ?? null),
    async consistency(from_size, to_size) {
      const [, two, three] = state.leaves as [Uint8Array, Uint8Array, Uint8Array];
      const paths: Record<string, Uint8Array[]> = {
        "1:2": [two],
        "1:3": [two, three],
        "2:3": [three],
      };
      const path = (paths[`${from_size}:${to_size}`] ?? []).map(toBase64);
      return {
        from_size,
        to_size,
        from_root: await root(from_size),
        to_root: await root(to_size),
        path,
      };
    },
    store(head, _key, note) {
      state.stored.push({ size: head.size, note });
      state.waiting.push({ size: head.size, note });
      return Promise.resolve(true);
    },
    undelivered: () => Promise.resolve([...state.waiting]),
    noteDelivery(size, _sink, error) {
      state.errors.push(error);
      if (error === null) state.waiting = state.waiting.filter((kept) => kept.size !== size);
      return Promise.resolve();
    },
    reportRefusal(details) {
      state.refusals.push(details);
      return Promise.resolve();
    },
  };
  return { log, state };
}

function sinkThat(deliver: Sink["deliver"]): Sink {
  return { name: "memory", deliver };
}

Deno.test("makeCheckpoint() signs a grown log once, and delivers what no sink has", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  assert.deepEqual(await makeCheckpoint(log, keys, null), {
    tree_size: 1,
    signed: true,
    delivered: 0,
    undelivered: 1,
  });
  state.size = 3;
  const delivered: number[] = [];
  const sink = sinkThat((size) => Promise.resolve(void delivered.push(size)));
  assert.equal((await makeCheckpoint(log, keys, sink)).delivered, 2);
  assert.deepEqual(delivered, [1, 3]);
  assert.equal((await makeCheckpoint(log, keys, sink)).signed, false);
  const checkpoint = await openCheckpoint(state.stored.at(-1)!.note, keys.known);
  assert.deepEqual([checkpoint.size, checkpoint.origin], [3, origin]);
});

Deno.test("a rewritten or shortened log gets no signature but a critical entry", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  state.size = 2;
  await makeCheckpoint(log, keys, null);
  const honest = state.leaves;
  state.leaves = [await leafHash(Uint8Array.of(9)), ...honest.slice(1)];
  for (const size of [2, 3]) {
    state.size = size;
    await assert.rejects(makeCheckpoint(log, keys, null), {
      code: "AUDIT_LOG_FORKED",
      status: 409,
    });
  }
  state.leaves = honest;
  state.size = 1;
  await assert.rejects(makeCheckpoint(log, keys, null), { code: "AUDIT_LOG_FORKED" });
  assert.deepEqual([state.refusals.length, state.stored.length], [3, 1]);
});

Deno.test("a checkpoint that somebody put into the table is not continued", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  await makeCheckpoint(log, await keysOf(seed(2)), null);
  state.size = 2;
  await assert.rejects(makeCheckpoint(log, keys, null), { code: "AUDIT_LOG_FORKED" });
  const [signer] = (await keysOf(seed(2))).signers;
  const rotated = await keysOf(seed(1), await formatVerifierKey(signer!));
  assert.equal((await makeCheckpoint(log, rotated, null)).signed, true);
});

Deno.test("a sink that fails is asked again, in order, and the reason is noted", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  await makeCheckpoint(log, keys, null);
  state.size = 2;
  const failing = sinkThat(() => Promise.reject(new Error("the sink answered 503")));
  const report = await makeCheckpoint(log, keys, failing);
  assert.deepEqual([report.signed, report.delivered, report.undelivered], [true, 0, 2]);
  assert.deepEqual(state.errors, ["the sink answered 503"]);
  const unreachable = sinkThat(() => Promise.reject(new TypeError("connect to 10.0.0.1 refused")));
  await makeCheckpoint(log, keys, unreachable);
  assert.equal(state.errors.at(-1), "the sink cannot be reached");
});

Deno.test("without a signing key no checkpoint is made, and the answer says so", async () => {
  await assert.rejects(keysOf(null), { code: "AUDIT_NOT_CONFIGURED", status: 503 });
});
