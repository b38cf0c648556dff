import type { Sql } from "../../stack/connection.ts";
import { Failure } from "../../stack/failure.ts";
import type { BenchRow } from "../harness.ts";
import { issueKey, type KeyInUse } from "./fill.ts";
import { requests } from "./ways.ts";

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** How many keys of each kind, so that what one of them happens to lie beside counts little. */
const keysOfAKind = 8;
/** How many refusals of each kind are timed in a round. */
const refusalsOfAKind = 1500;

const none = "a key that does not exist";
const another = "another that does not exist";

/**
 * Whether refusals can be told apart by their time: how often a guess is right that takes the later
 * one of two answers for the other kind's (the area under the ROC curve, on either side of 0.5, which
 * is a coin's). The floor is two kinds that are the same: what chance makes of so many refusals. All
 * kinds are timed in turn, in an order that is drawn each time.
 */
export async function refusals(sql: Sql, pool: Sql, key: KeyInUse): Promise<BenchRow> {
  const kinds = await refusedKeys(sql, key.organization);
  let guesses = new Map<string, number>();
  const others = [...kinds.keys()].filter((name) => name !== none && name !== another);
  return {
    name: "guessing from its time what a refusal is for",
    unit: "guesses right",
    better: "lower",
    async ours() {
      const times = await timeInTurn(kinds, async (api_key) => {
        const { header } = requests(pool, { ...key, api_key });
        const thrown = await header("GET", "select 1").then(() => null, (thrown) => thrown);
        if (thrown?.code !== "PT401") throw new Failure("BENCH", "a key that is not refused");
      });
      const same = times.get(none) ?? [];
      guesses = new Map([...times].map(([name, values]) => [name, rightGuesses(values, same)]));
      return guesses.get(another) ?? NaN;
    },
    peers: others.map((name) => ({ name, run: async () => await guesses.get(name) ?? NaN })),
  };
}

/** Keys that are refused, by why. */
async function refusedKeys(sql: Sql, organization: string): Promise<Map<string, string[]>> {
  const several = async (make: () => Promise<string> | string) => {
    const keys: string[] = [];
    for (let made = 0; made < keysOfAKind; made++) keys.push(await make());
    return keys;
  };
  const random = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(38));
    return `bwk_live_${Array.from(bytes, (byte) => alphabet[byte % 62]).join("")}`;
  };
  const [other] = await sql<[{ id: string }]>`
    select id from public.organizations where slug = 'org-2'
  `;
  const suspended = await several(async () => (await issueKey(sql, other.id)).api_key);
  await sql`
    insert into public.api_key_policies (organization_id, allowed) values (${other.id}, false)
  `;
  return new Map([
    [none, await several(random)],
    [another, await several(random)],
    ["a malformed one", await several(() => crypto.randomUUID())],
    [
      "a revoked one",
      await several(async () => {
        const { id, api_key } = await issueKey(sql, organization);
        await sql`select public.revoke_api_key(${id}, 'for the benchmark')`;
        return api_key;
      }),
    ],
    [
      "an expired one",
      await several(async () => {
        const { id, api_key } = await issueKey(sql, organization);
        await sql`update public.api_keys set expires_at = now() where id = ${id}`;
        return api_key;
      }),
    ],
    ["one of an organization that allows none", suspended],
    [
      "one from elsewhere",
      await several(async () => (await issueKey(sql, organization, "{203.0.113.0/24}")).api_key),
    ],
  ]);
}

async function timeInTurn(
  kinds: Map<string, string[]>,
  refuse: (key: string) => Promise<void>,
): Promise<Map<string, number[]>> {
  const times = new Map([...kinds.keys()].map((name): [string, number[]] => [name, []]));
  for (let turn = 0; turn < refusalsOfAKind; turn++) {
    const drawn = [...kinds].map(([name, keys]) => ({ name, keys, place: Math.random() }))
      .sort((a, b) => a.place - b.place);
    for (const { name, keys } of drawn) {
      const start = performance.now();
      await refuse(keys[turn % keys.length] ?? "");
      times.get(name)?.push(performance.now() - start);
    }
  }
  return times;
}

/** The area under the ROC curve (Mann and Whitney's U of the two samples), folded at 0.5. */
function rightGuesses(values: number[], others: number[]): number {
  const sorted = [
    ...values.map((value) => ({ value, ours: true })),
    ...others.map((value) => ({ value, ours: false })),
  ].sort((a, b) => a.value - b.value);
  const ranks = sorted.reduce((sum, { ours }, index) => sum + (ours ? index + 1 : 0), 0);
  const n = values.length;
  const area = (ranks - n * (n + 1) / 2) / (n * others.length);
  return Math.max(area, 1 - area);
}
