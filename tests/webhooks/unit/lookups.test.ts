import assert from "node:assert/strict";
import { Lookups } from "../../../supabase/functions/_bulwark/webhooks/lookups.ts";

const name = (text: string) => new URL(`https://${text}.example.com/`);
const turn = () => new Promise((resolve) => setTimeout(resolve));

/** Look-ups; those of names with "slow" in them end on demand. */
function open(limits = { all: 6, each: 2, timeoutMs: 15_000 }, now = () => 0) {
  const slow = new Map<string, () => void>();
  const asked: string[] = [];
  const lookups = new Lookups(
    ({ hostname }) => {
      asked.push(hostname);
      if (hostname.startsWith("fail")) throw new Error("no such name");
      if (!hostname.startsWith("slow")) return Promise.resolve(["203.0.113.1"]);
      return new Promise((resolve) => slow.set(hostname, () => resolve(["203.0.113.2"])));
    },
    limits,
    now,
  );
  return { lookups, slow, asked };
}

Deno.test("lookups of one account that hang hold up no other account", async () => {
  const { lookups, slow, asked } = open();
  const bad = lookups.of("bad");
  for (let i = 0; i < 100; i++) bad(name(`slow${i}`)).catch(() => {});
  await turn();
  assert.equal(slow.size, 2);
  assert.deepEqual(await lookups.of("good")(name("quick")), ["203.0.113.1"]);
  slow.get("slow0.example.com")?.();
  await turn();
  assert.deepEqual(asked.filter((host) => host.startsWith("slow")).length, 3, "one after another");
});

Deno.test("an account with nothing under way comes before one that has more", async () => {
  const { lookups, slow, asked } = open({ all: 3, each: 2, timeoutMs: 15_000 });
  for (const account of ["one", "one", "two", "one", "two"]) {
    lookups.of(account)(name(`slow-${account}-${slow.size}`)).catch(() => {});
    await turn();
  }
  const last = lookups.of("three")(name("quick"));
  await turn();
  assert.ok(!asked.includes("quick.example.com"), "there is no place");
  [...slow.values()][0]?.();
  assert.deepEqual(await last, ["203.0.113.1"]);
});

Deno.test("a lookup whose attempt has timed out is not made", async () => {
  let time = 0;
  const { lookups, slow, asked } = open({ all: 1, each: 1, timeoutMs: 15_000 }, () => time);
  for (const host of ["slow1", "slow2", "slow3"]) lookups.of("one")(name(host)).catch(() => {});
  await turn();
  time = 15_000;
  const fresh = lookups.of("one")(name("quick"));
  slow.get("slow1.example.com")?.();
  await fresh;
  assert.deepEqual(asked, ["slow1.example.com", "quick.example.com"]);
});

Deno.test("an address waits for nobody, and a name that fails gives its place back", async () => {
  const { lookups, asked } = open({ all: 1, each: 1, timeoutMs: 15_000 });
  for (let i = 0; i < 3; i++) await assert.rejects(lookups.of("one")(name("fail")), /no such name/);
  lookups.of("one")(name("slow")).catch(() => {});
  await turn();
  assert.deepEqual(await lookups.of("one")(new URL("https://203.0.113.9/")), ["203.0.113.1"]);
  assert.equal(asked.length, 5);
});
