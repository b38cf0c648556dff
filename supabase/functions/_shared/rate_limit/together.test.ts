import assert from "node:assert/strict";
import { together } from "./together.ts";

/** A question that is answered when the test says so. */
function pending() {
  const asked: { calls: number[]; answer: () => void; fail: (reason: Error) => void }[] = [];
  const ask = together<number, number>((calls) =>
    new Promise((resolve, reject) => {
      asked.push({
        calls,
        answer: () => resolve(calls.map((call) => call * 10)),
        fail: reject,
      });
    }), { size: 3, underWay: 2 });
  return { ask, asked };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("together() makes nobody wait for company, and one question of what waits", async () => {
  const { ask, asked } = pending();
  const answers = [1, 2, 3, 4, 5, 6].map(ask);
  assert.deepEqual(asked.map(({ calls }) => calls), [[1], [2]]);
  asked[0]!.answer();
  await settled();
  assert.deepEqual(asked.map(({ calls }) => calls), [[1], [2], [3, 4, 5]], "three at most");
  asked[2]!.answer();
  await settled();
  assert.deepEqual(asked[3]?.calls, [6]);
  asked[1]!.answer();
  asked[3]!.answer();
  assert.deepEqual(await Promise.all(answers), [10, 20, 30, 40, 50, 60]);
});

Deno.test("together() fails those that were asked together, and goes on with the others", async () => {
  const { ask, asked } = pending();
  const outcomes = Promise.allSettled([1, 2, 3, 4].map(ask));
  asked[0]!.answer();
  asked[1]!.answer();
  await settled();
  asked[2]!.fail(new Error("away"));
  await settled();
  const late = ask(5);
  asked[3]!.answer();
  assert.deepEqual((await outcomes).map(({ status }) => status), [
    "fulfilled",
    "fulfilled",
    "rejected",
    "rejected",
  ]);
  assert.equal(await late, 50);
});

Deno.test("together() lets one answer fail without the others, and notices one that is missing", async () => {
  const ask = together<number, number>((calls) =>
    Promise.resolve(
      calls.slice(0, 2).map((call) => call === 2 ? Promise.reject(new Error("no")) : call),
    ), { size: 3, underWay: 1 });
  const outcomes = await Promise.allSettled([0, 1, 2, 3].map(ask));
  assert.deepEqual(outcomes.map(({ status }) => status), [
    "fulfilled",
    "fulfilled",
    "rejected",
    "rejected",
  ]);
});
