/** The breaker by itself, on a clock of its own. */
import assert from "node:assert/strict";
import {
  Breaker,
  type BreakerOptions,
} from "../../../../supabase/functions/_bulwark/foundation/redis/breaker.ts";

const never = () => new Promise<never>(() => {});
const pause = (time: number) => new Promise((resolve) => setTimeout(resolve, time));

function breakerTest(name: string, fn: () => Promise<void>): void {
  // The one timer of a breaker goes on for a moment after the last answer.
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

/** A breaker before a server that can be switched on and off. */
function place(options: Partial<BreakerOptions> = {}) {
  const server = { up: false, calls: 0, probes: 0, told: [] as string[], now: 0 };
  const answer = () => server.up ? Promise.resolve("fine") : Promise.reject(new Error("down"));
  const breaker = new Breaker({
    timeoutMs: 20,
    pause: 1000,
    longestPause: 4000,
    now: () => server.now,
    probe: () => (server.probes++, answer()),
    onFailure: (cause) => server.told.push((cause as Error).message),
    onRecovery: () => server.told.push("recovered"),
    ...options,
  });
  const call = (task: () => Promise<string> = answer) =>
    breaker.call(() => (server.calls++, task())).catch((thrown) => thrown.name as string);
  return { breaker, server, call };
}

breakerTest(
  "REDIS-B01: an outage opens it; one probe at a time closes it, and no caller waits",
  async () => {
    const { breaker, server, call } = place();
    assert.equal(await call(), "Unavailable");
    for (let i = 0; i < 9; i++) assert.equal(await call(), "Unavailable");
    assert.deepEqual([server.calls, server.probes, breaker.isOpen], [1, 0, true]);
    server.now += 1300;
    assert.deepEqual(await Promise.all([call(), call(), call()]), Array(3).fill("Unavailable"));
    await pause(0);
    assert.deepEqual([server.calls, server.probes, breaker.isOpen], [1, 1, true]);
    server.up = true;
    server.now += 2600;
    assert.equal(await call(), "Unavailable", "it only starts the probe");
    await pause(0);
    assert.deepEqual(await Promise.all([call(), call()]), ["fine", "fine"]);
    assert.deepEqual([server.calls, server.probes, breaker.isOpen], [3, 2, false]);
    assert.deepEqual(server.told, ["down", "down", "recovered"]);
  },
);

breakerTest(
  "REDIS-B02: while a probe gets no answer no second one starts, and no call is made",
  async () => {
    const { server, call } = place({ probe: () => (server.probes++, never()) });
    await call();
    for (let i = 0; i < 20; i++) {
      server.now += 60_000;
      assert.equal(await call(), "Unavailable");
    }
    assert.deepEqual([server.calls, server.probes], [1, 1]);
  },
);

breakerTest(
  "REDIS-B03: a probe that succeeds where calls still fail does not shorten the pause",
  async () => {
    const { server, call } = place({ probe: () => Promise.resolve(server.probes++) });
    const made = async (after: number) => {
      server.now += after;
      await call();
      await pause(0);
      await call();
      return server.calls;
    };
    assert.equal(await made(0), 1);
    assert.equal(await made(1300), 2, "1 second, up to a quarter more or less");
    assert.equal(await made(1400), 2);
    assert.equal(await made(1200), 3, "2 seconds");
    assert.equal(await made(2900), 3);
    assert.equal(await made(2200), 4, "4 seconds");
    assert.equal(await made(5100), 5, "and no longer");
    assert.deepEqual(server.told, Array(5).fill("down"));
  },
);

breakerTest(
  "REDIS-B04: a call is waited for no longer than it may, and its late answer is passed on",
  async () => {
    const { breaker } = place();
    const { promise, resolve } = Promise.withResolvers<string>();
    const thrown = await breaker.call(() => promise).catch((thrown) => thrown);
    assert.deepEqual([thrown.name, thrown.message], ["Unavailable", "no answer within 20 ms"]);
    resolve("late");
    assert.equal(await thrown.answer, "late");
    assert.equal(breaker.isOpen, false);
  },
);

breakerTest(
  "REDIS-B05: three timeouts in a row open it, and those of one moment count once",
  async () => {
    const { breaker, call } = place();
    for (const isOpen of [false, false, true]) {
      await Promise.all(Array.from({ length: 50 }, () => call(never)));
      assert.equal(breaker.isOpen, isOpen);
    }
    const other = place();
    other.server.up = true;
    for (let i = 0; i < 5; i++) {
      await other.call(never);
      assert.equal(await other.call(), "fine", "an answer in between ends the row");
    }
  },
);

breakerTest("REDIS-B06: a server that refuses a command is there", async () => {
  const { breaker, server, call } = place({ judge: () => "answer" });
  for (let i = 0; i < 5; i++) assert.equal(await call(), "Unavailable");
  assert.deepEqual([server.calls, breaker.isOpen, server.told], [5, false, []]);
});

breakerTest(
  "REDIS-B07: what was under way when it opened neither closes it nor opens it again",
  async () => {
    const { breaker, server, call } = place();
    const [good, bad] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
    const before = [call(() => good.promise), call(() => bad.promise)];
    await call();
    good.resolve("fine");
    bad.reject(new Error("reset"));
    assert.deepEqual(await Promise.all(before), ["fine", "Unavailable"]);
    assert.deepEqual([breaker.isOpen, server.told], [true, ["down"]]);
    const other = place();
    const late = [other.call(never), other.call(never), other.call(never)];
    await other.call();
    await Promise.all(late);
    other.server.up = true;
    other.server.now += 1300;
    await other.call();
    await pause(0);
    for (const isOpen of [false, false, true]) {
      await other.call(never);
      assert.equal(other.breaker.isOpen, isOpen, "timeouts from before it opened do not count");
    }
  },
);

breakerTest("REDIS-B08: one timer bounds many calls, each by its own time", async () => {
  const breaker = new Breaker({ timeoutMs: 40, doubts: 100, probe: never });
  const { promise, resolve } = Promise.withResolvers<string>();
  const long = breaker.call(() => promise, { timeoutMs: 600_000 });
  const ended = async (timeoutMs: number) => {
    const begun = performance.now();
    await assert.rejects(breaker.call(never, { timeoutMs }), { name: "Unavailable" });
    assert.ok(performance.now() - begun >= timeoutMs - 2);
  };
  await Promise.all([80, 40, 10, 40].map(ended));
  resolve("fine");
  assert.equal(await long, "fine");
});
