/** Shared values of the React bindings, and how they render where nothing is known. */
import assert from "node:assert/strict";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { BulwarkError, createBulwark } from "../../../clients/js/src/index.ts";
import { BulwarkProvider, Can, useBulwark } from "../../../clients/js/src/react.ts";
import type { Result } from "../../../clients/js/src/result.ts";
import { Watch } from "../../../clients/js/src/watch.ts";

type Told = Result<{ value: string | null; version: string }>;

/** A watch whose answers come when the test says so. */
function asking(interval = 60_000) {
  const asked: { version: string | undefined; answer: (told: Told) => void }[] = [];
  const watch = new Watch<string>(
    (version) => new Promise((answer) => asked.push({ version, answer })),
    interval,
  );
  const answer = async (index: number, told: Told) => {
    asked[index]?.answer(told);
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { watch, asked, answer };
}

const is = (value: string | null, version: string): Told => ({
  data: { value, version },
  error: null,
});
const failed = (status: number): Told => ({
  data: null,
  error: new BulwarkError({ code: "INTERNAL", message: "no", status }),
});

Deno.test("CLIENT-16: all listeners share a question, and hear of changes alone", async () => {
  const { watch, asked, answer } = asking();
  let heard = 0;
  const leave = [watch.subscribe(() => heard++), watch.subscribe(() => heard++)];
  assert.equal(asked.length, 1);
  assert.equal(watch.known().data, undefined);
  await answer(0, is("one", "1"));
  assert.deepEqual([watch.known().data, heard], ["one", 2]);
  const known = watch.known();
  void watch.ask();
  assert.equal(asked[1]?.version, "1");
  await answer(1, is(null, "1"));
  assert.deepEqual([watch.known() === known, heard], [true, 2]);
  for (const go of leave) go();
  assert.equal(watch.isWatched, false);
});

Deno.test("CLIENT-17: a refusal takes the value away, an outage does not", async () => {
  const { watch, asked, answer } = asking();
  watch.subscribe(() => {});
  await answer(0, is("one", "1"));
  for (const [index, status] of [[1, 0], [2, 503]] as const) {
    void watch.ask();
    await answer(index, failed(status));
    assert.deepEqual([watch.known().data, watch.known().error?.status], ["one", status]);
  }
  void watch.ask();
  await answer(3, is(null, "1"));
  assert.deepEqual(watch.known(), { data: "one", error: null });
  void watch.ask();
  await answer(4, failed(403));
  assert.deepEqual([watch.known().data, watch.known().error?.status], [undefined, 403]);
  void watch.ask();
  assert.equal(asked[5]?.version, undefined, "it asks for everything again");
});

Deno.test("CLIENT-26: an answer that was overtaken, or is old, does not count", async () => {
  const { watch, answer } = asking(-1);
  const leave = watch.subscribe(() => {});
  void watch.ask();
  await answer(1, is("new", "2"));
  await answer(0, is("old", "1"));
  assert.equal(watch.known().data, "new");
  leave();
  watch.subscribe(() => {});
  assert.equal(watch.known().data, undefined, "without listeners it grew old");
});

Deno.test("CLIENT-27: while nothing is known, as on a server, nothing is shown", () => {
  const refuse = () => assert.fail("asked");
  const client = createBulwark({ rpc: refuse, from: refuse, functions: { invoke: refuse } });
  const guarded = createElement(Can, { do: "audit:read", in: null, otherwise: "no" }, "yes");
  for (const account of [null, undefined, crypto.randomUUID()]) {
    const page = createElement(BulwarkProvider, { client, account }, "page:", guarded);
    assert.equal(renderToString(page), "page:");
  }
  const Lost = () => createElement("p", null, typeof useBulwark());
  assert.throws(() => renderToString(createElement(Lost)), /no <BulwarkProvider>/);
});
