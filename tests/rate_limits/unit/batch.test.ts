import assert from "node:assert/strict";
import { batch, type BatchLimits } from "../../../supabase/functions/_bulwark/rate_limits/batch.ts";

/** A batcher whose batches the test answers. */
function pending(limits: Partial<BatchLimits> = {}) {
  const asked: { calls: number[]; answer: () => void; fail: (reason: Error) => void }[] = [];
  const ask = batch<number, number>((calls) =>
    new Promise((resolve, reject) => {
      asked.push({
        calls,
        answer: () => resolve(calls.map((call) => call * 10)),
        fail: reject,
      });
    }), { size: 3, concurrency: 2, timeoutMs: 5000, ...limits });
  return { ask, asked, calls: () => asked.map(({ calls }) => calls) };
}

const pause = (milliseconds = 0) => new Promise((resolve) => setTimeout(resolve, milliseconds));

Deno.test("batch() delays no call to fill a batch, and batches the queued ones", async () => {
  const { ask, asked, calls } = pending();
  const answers = [ask(1)];
  await Promise.resolve();
  assert.deepEqual(calls(), [[1]], "in the same turn");
  answers.push(ask(2));
  await pause();
  assert.deepEqual(calls(), [[1], [2]]);
  answers.push(...[3, 4, 5, 6].map(ask));
  await pause();
  assert.deepEqual(calls(), [[1], [2]]);
  asked[0]!.answer();
  await pause();
  assert.deepEqual(calls(), [[1], [2], [3, 4, 5]], "three at most");
  asked[2]!.answer();
  await pause();
  assert.deepEqual(calls()[3], [6]);
  asked[1]!.answer();
  asked[3]!.answer();
  assert.deepEqual(await Promise.all(answers), [10, 20, 30, 40, 50, 60]);
});

Deno.test("batch() divides the calls of one turn over the concurrent batches, in their order", async () => {
  const { ask, asked, calls } = pending();
  const answers = [1, 2, 3, 4, 5, 6, 7].map(ask);
  await pause();
  assert.deepEqual(calls(), [[1, 2, 3], [4, 5, 6]]);
  asked[1]!.answer();
  asked[0]!.answer();
  answers.push(ask(8), ask(9));
  await pause();
  assert.deepEqual(calls().slice(2), [[7, 8], [9]], "none overtakes who came before");
  for (const { answer } of asked) answer();
  assert.deepEqual(await Promise.all(answers), [10, 20, 30, 40, 50, 60, 70, 80, 90]);
});

Deno.test("batch() fails all calls of a failed batch, and goes on with the others", async () => {
  const { ask, asked } = pending();
  const outcomes = Promise.allSettled([1, 2, 3, 4].map(ask));
  await pause();
  asked[1]!.fail(new Error("away"));
  await pause();
  const late = ask(5);
  await pause();
  asked[0]!.answer();
  asked[2]!.answer();
  assert.deepEqual((await outcomes).map(({ status }) => status), [
    "fulfilled",
    "fulfilled",
    "rejected",
    "rejected",
  ]);
  assert.equal(await late, 50);
});

Deno.test("batch() lets one answer fail without the others, and notices one that is missing", async () => {
  const ask = batch<number, number>((calls) =>
    Promise.resolve(
      calls.slice(0, 3).map((call) => call === 2 ? Promise.reject(new Error("no")) : call),
    ), { size: 4, concurrency: 1, timeoutMs: 5000 });
  const outcomes = await Promise.allSettled([0, 1, 2, 3].map(ask));
  assert.deepEqual(outcomes.map(({ status }) => status), [
    "fulfilled",
    "fulfilled",
    "rejected",
    "rejected",
  ]);
});

Deno.test("batch() is not blocked by unanswered batches, and drops calls that timed out", async () => {
  const { ask, asked, calls } = pending({ timeoutMs: 300 });
  const outcome = (call: number) => ask(call).then(() => "answered", String);
  const silent = [1, 2, 3, 4, 5, 6].map(outcome);
  await pause();
  const early = [7, 8].map(outcome);
  await pause(200);
  const late = [outcome(9)];
  await pause(120);
  assert.deepEqual(calls(), [[1, 2, 3], [4, 5, 6]]);
  late.push(outcome(10));
  assert.match(
    (await Promise.all([...silent, ...early])).join(),
    /^(Error: no answer within 300 ms,?){8}$/,
  );
  assert.deepEqual(calls().slice(2), [[9], [10]]);
  // Late answers free no place.
  asked[0]!.answer();
  asked[1]!.answer();
  await pause();
  late.push(outcome(11));
  await pause();
  assert.equal(asked.length, 4);
  asked[2]!.answer();
  asked[3]!.answer();
  await pause();
  asked[4]!.answer();
  assert.deepEqual(await Promise.all(late), ["answered", "answered", "answered"]);
});

Deno.test("batch() handles errors that arrive after a timeout", async () => {
  const answers = Promise.withResolvers<Promise<number>[]>();
  let questions = 0;
  const ask = batch<number, number>(
    (calls) => questions++ ? Promise.resolve(calls.map((call) => call * 10)) : answers.promise,
    { size: 3, concurrency: 1, timeoutMs: 20 },
  );
  const given = assert.rejects(ask(1), /no answer/);
  await pause(40);
  assert.equal(await ask(2), 20);
  await given;
  // Unhandled, it would end the process.
  answers.resolve([Promise.reject(new Error("late"))]);
  await pause(20);
});
