import assert from "node:assert/strict";
import {
  makeCheckpoint,
  readLogKeys,
} from "../../../supabase/functions/_bulwark/audit/checkpoint.ts";
import { toBase64 } from "../../../supabase/functions/_bulwark/foundation/bytes.ts";
import type {
  CheckpointLog,
  StoredCheckpoint,
} from "../../../supabase/functions/_bulwark/audit/log.ts";
import { leafHash, merkleRoot } from "../../../supabase/functions/_bulwark/audit/merkle.ts";
import {
  formatVerifierKey,
  openCheckpoint,
} from "../../../supabase/functions/_bulwark/audit/note.ts";
import { OddSinkError, type Sink } from "../../../supabase/functions/_bulwark/audit/sink.ts";

const origin = "example.test/audit";
const seed = (byte: number) => toBase64(new Uint8Array(32).fill(byte));
const keysOf = (signingKeys: string | null, retiredKeys = "", abandoned = 0) =>
  readLogKeys({ signingKeys, retiredKeys, origin, abandoned });

/** A log in memory, of one, two or three seals. */
async function makeLog() {
  const leaves = await Promise.all([1, 2, 3].map((byte) => leafHash(Uint8Array.of(byte))));
  const state = {
    size: 1,
    leaves,
    stored: [] as StoredCheckpoint[],
    waiting: [] as StoredCheckpoint[],
    errors: [] as (string | null)[],
    known: false,
    alarms: [] as string[],
    refusals: [] as Record<string, string | number>[],
  };
  const root = async (size: number) => toBase64(await merkleRoot(state.leaves.slice(0, size)));
  const log: CheckpointLog = {
    seal: () => Promise.resolve(),
    head: async () => ({ size: state.size, root: await root(state.size) }),
    newest: () => Promise.resolve(state.stored.toReversed()),
    knowsKeys: () => Promise.resolve(state.known),
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
    store(head, _signers, note) {
      state.known = true;
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
    report(action, details) {
      state.alarms.push(action);
      if (action === "checkpoint_refused") state.refusals.push(details);
      return Promise.resolve();
    },
  };
  return { log, state };
}

function sinkThat(
  deliver: Sink["deliver"],
  newest: Sink["newest"] = () => Promise.resolve(null),
): Sink {
  return { name: "memory", deliver, newest };
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

Deno.test("a history that the operator gave up is not continued, the one after it is", async () => {
  const { log, state } = await makeLog();
  state.size = 2;
  await makeCheckpoint(log, await keysOf(seed(1)), null);
  const note = state.stored[0]?.note ?? "";
  state.leaves = [await leafHash(Uint8Array.of(9)), ...state.leaves.slice(1)];
  state.size = 3;
  const sink = sinkThat(() => Promise.resolve(), () => Promise.resolve(note));
  // Less than what was signed is not enough, be it stored or in the sink.
  await assert.rejects(makeCheckpoint(log, await keysOf(seed(1), "", 1), sink), {
    code: "AUDIT_LOG_FORKED",
  });
  const keys = await keysOf(seed(1), "", 2);
  state.size = 2;
  assert.equal((await makeCheckpoint(log, keys, sink)).signed, false, "nothing is signed twice");
  state.size = 3;
  assert.equal((await makeCheckpoint(log, keys, sink)).signed, true);
  // From there on the log is held to its new signature.
  state.leaves = [await leafHash(Uint8Array.of(8)), ...state.leaves.slice(1)];
  await assert.rejects(makeCheckpoint(log, keys, null), { code: "AUDIT_LOG_FORKED" });
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

Deno.test("a note in the table that nobody signed is reported, and neither continued nor shipped", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  await makeCheckpoint(log, keys, null);
  const honest = state.stored[0]!.note;
  state.stored.push({ size: 2, note: honest.replace("\n1\n", "\n2\n") });
  state.waiting.push(state.stored[1]!);
  state.size = 3;
  const delivered: number[] = [];
  const sink = sinkThat((size) => Promise.resolve(void delivered.push(size)));
  const report = await makeCheckpoint(log, keys, sink);
  assert.equal(report.signed, true);
  assert.deepEqual(state.alarms, ["checkpoint_forged"]);
  assert.deepEqual(delivered, [1, 3]);
});

Deno.test("a log whose checkpoints were taken away is not signed as if it were new", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  await makeCheckpoint(log, keys, null);
  const kept = state.stored.splice(0)[0]!.note;
  state.size = 2;
  await assert.rejects(makeCheckpoint(log, keys, null), { code: "AUDIT_LOG_FORKED" });
  const silent = sinkThat(() => Promise.resolve(), () => Promise.reject(new Error("down")));
  await assert.rejects(makeCheckpoint(log, keys, silent), { code: "AUDIT_LOG_FORKED" });
  assert.equal(state.stored.length, 0);
  // The sink still has the newest, and the log continues it.
  const sink = sinkThat(() => Promise.resolve(), () => Promise.resolve(kept));
  assert.equal((await makeCheckpoint(log, keys, sink)).signed, true);
  assert.equal(state.alarms.at(-1), "checkpoints_missing");
});

Deno.test("a log rewritten together with its checkpoints is found by what the sink has", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  state.size = 2;
  await makeCheckpoint(log, keys, null);
  const kept = state.stored.splice(0)[0]!.note;
  state.known = false;
  state.leaves = [await leafHash(Uint8Array.of(9)), ...state.leaves.slice(1)];
  const sink = sinkThat(() => Promise.resolve(), () => Promise.resolve(kept));
  for (const size of [1, 2, 3]) {
    state.size = size;
    await assert.rejects(makeCheckpoint(log, keys, sink), { code: "AUDIT_LOG_FORKED" });
  }
  assert.equal(state.stored.length, 0);
});

Deno.test("the newest checkpoint reaches the sink also where a delivery was noted that never was", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  await makeCheckpoint(log, keys, null);
  state.waiting = [];
  const delivered: number[] = [];
  let newest: string | null = null;
  const sink = sinkThat(
    (size) => Promise.resolve(void delivered.push(size)),
    () => Promise.resolve(newest),
  );
  await makeCheckpoint(log, keys, sink);
  assert.deepEqual(delivered, [1]);
  newest = state.stored[0]!.note;
  await makeCheckpoint(log, keys, sink);
  assert.deepEqual(delivered, [1]);
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

Deno.test("a sink in which something hides the newest checkpoint stops checkpoints, loudly", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  await makeCheckpoint(log, keys, null);
  state.size = 2;
  const fake = state.stored[0]!.note.replace("\n1\n", "\n2\n");
  for (
    const newest of [
      () => Promise.reject(new OddSinkError("odd")),
      () => Promise.resolve(fake),
    ]
  ) {
    await assert.rejects(makeCheckpoint(log, keys, sinkThat(() => Promise.resolve(), newest)), {
      code: "AUDIT_LOG_FORKED",
    });
  }
  assert.deepEqual(state.alarms, ["checkpoint_refused", "checkpoint_refused"]);
});

Deno.test("a sink that is out of reach stops the first checkpoint alone: it may not be the first", async () => {
  const { log, state } = await makeLog();
  const keys = await keysOf(seed(1));
  const away = sinkThat(() => Promise.resolve(), () => Promise.reject(new TypeError("away")));
  await assert.rejects(makeCheckpoint(log, keys, away), {
    status: 503,
    code: "AUDIT_SINK_UNREACHABLE",
  });
  assert.equal(state.stored.length, 0);
  await makeCheckpoint(log, keys, null);
  state.size = 2;
  assert.equal((await makeCheckpoint(log, keys, away)).signed, true);
});

Deno.test("without a signing key no checkpoint is made, and the answer says so", async () => {
  await assert.rejects(keysOf(null), { code: "AUDIT_NOT_CONFIGURED", status: 503 });
});
