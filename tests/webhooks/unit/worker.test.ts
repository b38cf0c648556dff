import assert from "node:assert/strict";
import type {
  AttemptResult,
  ClaimedDelivery,
  OpenEndpoint,
} from "../../../supabase/functions/_bulwark/webhooks/attempt.ts";
import type {
  Claim,
  SealedEndpoint,
  WebhookQueue,
} from "../../../supabase/functions/_bulwark/webhooks/queue.ts";
import {
  defaultLimits,
  run,
  type RunLimits,
} from "../../../supabase/functions/_bulwark/webhooks/worker.ts";

/** Named `<account>/<anything>`; names that begin with "new" are unproven. */
const endpoint = (id: string): SealedEndpoint => ({
  id,
  organization_id: id.split("/")[0] ?? "",
  account_id: id.split("/")[0] ?? "",
  proven: !id.startsWith("new"),
  timeouts: 0,
  name: id,
  origin: `https://${id.replace("/", ".")}.example`,
  format: "json",
  follow_redirects: false,
  destination: "sealed",
  secrets: [],
});

const delivery = (id: string, endpoint_id: string, ordering_key: string | null = null) =>
  ({ id, attempt_id: `${id}-1`, attempt: 1, endpoint_id, ordering_key }) as ClaimedDelivery;

/** A queue with fixed deliveries that stores results. */
function memoryQueue(deliveries: ClaimedDelivery[]) {
  const waiting = [...deliveries];
  const results: AttemptResult[] = [];
  const queue: WebhookQueue = {
    claim({ maximum, maximumUnproven, busyEndpoints, busyAccounts }) {
      let unproven = maximumUnproven;
      const claimed = waiting.filter(({ endpoint_id }) => {
        const { account_id, proven } = endpoint(endpoint_id);
        if (busyEndpoints.includes(endpoint_id) || busyAccounts.includes(account_id)) return false;
        return proven || unproven-- > 0;
      }).slice(0, maximum);
      for (const one of claimed) waiting.splice(waiting.indexOf(one), 1);
      const ids = [...new Set(claimed.map(({ endpoint_id }) => endpoint_id))];
      return Promise.resolve<Claim>({ deliveries: claimed, endpoints: ids.map(endpoint) });
    },
    complete(batch) {
      results.push(...batch);
      return Promise.resolve();
    },
  };
  return { queue, results, waiting };
}

const limits = (changes: Partial<RunLimits> = {}): RunLimits => ({
  ...defaultLimits,
  worker: "test",
  interval: 5,
  ...changes,
});

const opened = {} as OpenEndpoint;
const open = () => Promise.resolve(opened);
const delivered = ({ id, attempt_id }: ClaimedDelivery): AttemptResult => ({
  delivery_id: id,
  attempt_id,
  outcome: "delivered",
});
const failed = ({ id, attempt_id }: ClaimedDelivery): AttemptResult => ({
  delivery_id: id,
  attempt_id,
  outcome: "rejected",
});

Deno.test("run() delivers all that is due and says of each how it ended", async () => {
  const all = Array.from({ length: 250 }, (_, index) => delivery(String(index), "a"));
  const { queue, results } = memoryQueue(all);
  const attempt = (one: ClaimedDelivery) =>
    Promise.resolve(Number(one.id) % 5 ? delivered(one) : failed(one));
  const report = await run({ queue, open, attempt }, limits());
  assert.deepEqual(report, { claimed: 250, delivered: 200, failed: 50 });
  assert.equal(new Set(results.map(({ delivery_id }) => delivery_id)).size, 250);
  assert.equal(results.length, 250);
});

Deno.test("run() claims no more than it may", async () => {
  const all = Array.from({ length: 50 }, (_, index) => delivery(String(index), "a"));
  const { queue, waiting } = memoryQueue(all);
  const attempt = (one: ClaimedDelivery) => Promise.resolve(delivered(one));
  const report = await run({ queue, open, attempt }, limits({ maximum: 20, batch: 15 }));
  assert.equal(report.delivered, 20);
  assert.equal(waiting.length, 30);
});

Deno.test("run() stops a key at its first failure and gives back what follows, untried", async () => {
  const lane = ["1", "2", "3", "4"].map((id) => delivery(id, "a", "key"));
  const { queue, results } = memoryQueue([...lane, delivery("5", "a", "other")]);
  const tried: string[] = [];
  const attempt = (one: ClaimedDelivery) => {
    tried.push(one.id);
    return Promise.resolve(one.id === "2" ? failed(one) : delivered(one));
  };
  await run({ queue, open, attempt }, limits());
  assert.deepEqual(tried.filter((id) => id !== "5"), ["1", "2"]);
  assert.deepEqual(
    results.filter(({ outcome }) => outcome === undefined).map(({ delivery_id }) => delivery_id),
    ["3", "4"],
  );
});

Deno.test("run() begins no attempt that could outlast its claim", async () => {
  const all = Array.from({ length: 6 }, (_, index) => delivery(String(index), "a", "key"));
  const { queue, results } = memoryQueue(all);
  let tried = 0;
  const attempt = async (one: ClaimedDelivery) => {
    tried++;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return delivered(one);
  };
  await run({ queue, open, attempt }, limits({ lease: 1, attemptTimeoutMs: 500 }));
  assert.ok(tried < 6 && tried > 0, String(tried));
  assert.equal(results.filter(({ outcome }) => outcome === undefined).length, 6 - tried);
});

Deno.test("run() leaves room for others when an endpoint hangs", async () => {
  const hanging = Array.from({ length: 40 }, (_, index) => delivery(`h${index}`, "hanging"));
  const quick = Array.from({ length: 40 }, (_, index) => delivery(`q${index}`, "quick"));
  const { queue } = memoryQueue([...hanging, ...quick]);
  const release = Promise.withResolvers<void>();
  let through = 0;
  const attempt = async (one: ClaimedDelivery) => {
    if (one.endpoint_id === "hanging") await release.promise;
    else if (++through === 40) release.resolve();
    return delivered(one);
  };
  const report = await run({ queue, open, attempt }, limits({ concurrency: 8 }));
  assert.equal(report.delivered, 80);
});

Deno.test("run() claims for others while an endpoint that hangs has a long backlog", async () => {
  const hanging = Array.from({ length: 500 }, (_, index) => delivery(`h${index}`, "hanging"));
  const { queue, waiting } = memoryQueue(hanging);
  const release = Promise.withResolvers<void>();
  const attempt = async (one: ClaimedDelivery) => {
    if (one.endpoint_id === "hanging") await release.promise;
    else release.resolve();
    return delivered(one);
  };
  // Arrives when the worker is busy with hanging attempts.
  setTimeout(() => waiting.push(delivery("late", "quick")), 100);
  const report = await run({ queue, open, attempt }, limits({ batch: 20, concurrency: 8 }));
  assert.equal(report.delivered, 501);
});

Deno.test("run() delivers all of a long backlog, however slowly the database answers", async () => {
  for (const delay of [1, 5, 20]) {
    const all = Array.from({ length: 500 }, (_, index) => delivery(String(index), "a"));
    const { queue, waiting } = memoryQueue(all);
    const { claim } = queue;
    queue.claim = async (wanted) => {
      const got = await claim(wanted);
      await new Promise((resolve) => setTimeout(resolve, delay));
      return got;
    };
    const attempt = async (one: ClaimedDelivery) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return delivered(one);
    };
    const slow = limits({ batch: 20, concurrency: 8, interval: 2 });
    const report = await run({ queue, open, attempt }, slow);
    assert.deepEqual([report.delivered, waiting.length], [500, 0], `${delay} ms`);
  }
});

Deno.test("run() tells the database again when it was away, and each result once it listens", async () => {
  const { queue, results } = memoryQueue([delivery("1", "a")]);
  let away = 3;
  const complete = queue.complete;
  queue.complete = (batch) => away-- > 0 ? Promise.reject(new Error("away")) : complete(batch);
  await run({ queue, open, attempt: (one) => Promise.resolve(delivered(one)) }, limits());
  assert.deepEqual(results.map(({ outcome }) => outcome), ["delivered"]);
});

Deno.test("run() ends what it began when the database is gone, and says so", async () => {
  const { queue, results } = memoryQueue([delivery("1", "a")]);
  const claim = queue.claim;
  let claims = 0;
  queue.claim = (...asked) => ++claims > 1 ? Promise.reject(new Error("gone")) : claim(...asked);
  const attempt = async (one: ClaimedDelivery) => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    return delivered(one);
  };
  await assert.rejects(run({ queue, open, attempt }, limits()), /gone/);
  assert.equal(results.length, 1);
});

Deno.test("run() says that an endpoint cannot be opened, and delivers to the others", async () => {
  const { queue, results } = memoryQueue([delivery("1", "broken"), delivery("2", "a")]);
  await run({
    queue,
    open: ({ id }) => id === "broken" ? Promise.reject(new Error("secret text")) : open(),
    attempt: (one) => Promise.resolve(delivered(one)),
  }, limits());
  const outcomes = new Map(results.map(({ delivery_id, outcome }) => [delivery_id, outcome]));
  assert.deepEqual([outcomes.get("1"), outcomes.get("2")], ["unreadable", "delivered"]);
  assert.ok(!JSON.stringify(results).includes("secret text"));
});

Deno.test("run() gives back what it has not begun when it is told to stop", async () => {
  const all = Array.from({ length: 30 }, (_, index) => delivery(String(index), "a"));
  const { queue, results } = memoryQueue(all);
  const stop = new AbortController();
  const attempt = async (one: ClaimedDelivery) => {
    stop.abort();
    await new Promise((resolve) => setTimeout(resolve, 10));
    return delivered(one);
  };
  await run(
    { queue, open, attempt },
    limits({ concurrency: 4, wait: 60_000, signal: stop.signal }),
  );
  assert.equal(results.length, 30);
  assert.ok(results.filter(({ outcome }) => outcome === undefined).length >= 20);
});

/**
 * An attempt that hangs until it is aborted or `release` is called, except for the named endpoints.
 */
function hanging(answers: (endpoint: string) => boolean) {
  const state = { under: 0, most: 0, cut: 0, order: [] as string[] };
  const release = Promise.withResolvers<void>();
  const attempt = async (
    one: ClaimedDelivery,
    _: OpenEndpoint,
    { signal }: { signal: AbortSignal },
  ): Promise<AttemptResult> => {
    state.order.push(one.endpoint_id);
    if (answers(one.endpoint_id)) return delivered(one);
    state.most = Math.max(state.most, ++state.under);
    const cut = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    await Promise.race([cut, release.promise]);
    state.under--;
    if (signal.aborted) state.cut++;
    return { delivery_id: one.id, attempt_id: one.attempt_id, outcome: "timed_out" };
  };
  return { state, attempt, release: () => release.resolve() };
}

Deno.test("run() gets everybody's deliveries out while those of many accounts hang", async () => {
  for (const kind of ["proven", "new"]) {
    // Twenty accounts, five endpoints each, five deliveries each.
    const bad = Array.from({ length: 500 }, (_, index) => {
      const account = `${kind}-bad-${index % 20}`;
      return delivery(`h${index}`, `${account}/${Math.floor(index / 20) % 5}`);
    });
    const { queue, results, waiting } = memoryQueue(bad);
    const { state, attempt, release } = hanging((id) => id.includes("good"));
    const running = run(
      { queue, open, attempt },
      limits({ concurrency: 8, slow: 24, slowAfterMs: 30, batch: 20 }),
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    // The database is fair, so they need not wait until all others were claimed.
    waiting.unshift(...["good-1/a", "new-good/a"].map((id) => delivery(id, id)));
    const arrived = () => results.filter(({ outcome }) => outcome === "delivered").length;
    for (let i = 0; i < 300 && arrived() < 2; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(arrived(), 2, kind);
    assert.ok(waiting.length + results.length < 502, "some still hang");
    assert.ok(state.most <= 8 + 24 + 1, `${state.most} hung at once`);
    release();
    await running;
    assert.equal(results.filter(({ outcome }) => outcome === "timed_out").length > 0, true);
  }
});

Deno.test("run() keeps half of the places for endpoints that are proven", async () => {
  const bad = Array.from({ length: 100 }, (_, index) => delivery(`h${index}`, `new-${index}/a`));
  const { queue, waiting } = memoryQueue(bad);
  const { state, attempt, release } = hanging((id) => id === "good/a");
  // No attempt becomes slow here, so remaining deliveries are returned.
  const running = run(
    { queue, open, attempt },
    limits({ concurrency: 8, slowAfterMs: 60_000, batch: 20 }),
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(state.most, 4);
  waiting.push(delivery("good", "good/a"));
  while (!state.order.includes("good/a")) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(state.most, 4);
  release();
  await running;
});

Deno.test("run() cuts off what hangs longest of the account that has most, and of no other", async () => {
  const many = Array.from({ length: 40 }, (_, index) => delivery(`h${index}`, `many/${index}`));
  const few = [delivery("f1", "few/1"), delivery("f2", "few/2")];
  const { queue, results } = memoryQueue([...few, ...many]);
  const { state, attempt, release } = hanging(() => false);
  const running = run(
    { queue, open, attempt },
    limits({ concurrency: 8, slow: 8, slowAfterMs: 20 }),
  );
  const ended = () => results.filter(({ outcome }) => outcome === "timed_out");
  while (ended().length < 20) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(state.cut >= 20);
  assert.deepEqual(ended().filter(({ delivery_id }) => delivery_id.startsWith("f")), []);
  release();
  await running;
});

Deno.test("run() gives back what waits for an endpoint that timed out", async () => {
  const all = Array.from({ length: 20 }, (_, index) => delivery(`h${index}`, "bad/a"));
  const { queue, results } = memoryQueue(all);
  const { attempt, release } = hanging(() => false);
  const running = run({ queue, open, attempt }, limits({ concurrency: 8 }));
  await new Promise((resolve) => setTimeout(resolve, 30));
  release();
  await running;
  const untried = results.filter(({ outcome }) => outcome === undefined).length;
  assert.deepEqual([results.length, untried], [20, 16]);
});

Deno.test("run() claims no longer than it may, however long its last attempts hang", async () => {
  const { queue, waiting } = memoryQueue([delivery("h", "bad/a")]);
  const { attempt, release } = hanging((id) => id === "good/a");
  const running = run({ queue, open, attempt }, limits({ longest: 50 }));
  await new Promise((resolve) => setTimeout(resolve, 150));
  waiting.push(delivery("late", "good/a"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(waiting.length, 1);
  release();
  await running;
});
