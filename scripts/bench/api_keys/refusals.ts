import { hashOf } from "../../../supabase/functions/_bulwark/api_keys/format.ts";
import type { Sql } from "../../stack/connection.ts";
import { Failure } from "../../stack/failure.ts";
import type { BenchRow } from "../harness.ts";
import { issueKey, type KeyInUse } from "./fill.ts";
import { requests } from "./ways.ts";

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Keys of each kind: many, so that the position of one in an index matters little. */
const keysOfAKind = 8;
/** Refusals of each kind timed in a round. */
const refusalsOfAKind = 1500;

const none = "a key that does not exist";
const another = "another that does not exist";

/**
 * Whether refusals can be told apart by their time: how often a guess is right that takes the later
 * of two answers for the other kind (the area under the ROC curve, folded at 0.5, which is a coin
 * toss). The baseline is two samples of the same kind. All kinds are timed alternately in random
 * order.
 */
export async function refusals(sql: Sql, pool: Sql, key: KeyInUse): Promise<BenchRow[]> {
  const kinds = await refusedKeys(sql, key.organization);
  return [
    guessing("guessing from its time what a refused request is for", kinds, async (api_key) => {
      const { header } = requests(pool, { ...key, api_key });
      const thrown = await header("GET", "select 1").then(() => null, (thrown) => thrown);
      if (thrown?.code !== "PT401") throw new Failure("BENCH", "a key that is not refused");
    }),
    guessing("guessing from its time what a refused exchange is for", kinds, async (api_key) => {
      const [found] = await sql`
        select api_key_id from bulwark.exchange_api_key(${hashOf(api_key)}, '198.51.100.1')
      `;
      if (found?.api_key_id !== null) throw new Failure("BENCH", "a key that is not refused");
    }),
  ];
}

function guessing(
  name: string,
  kinds: Map<string, string[]>,
  refuse: (key: string) => Promise<void>,
): BenchRow {
  let guesses = new Map<string, number>();
  const others = [...kinds.keys()].filter((kind) => kind !== none && kind !== another);
  return {
    name,
    unit: "guesses right",
    better: "lower",
    async ours() {
      const times = await timeInTurn(kinds, refuse);
      const same = times.get(none) ?? [];
      guesses = new Map([...times].map(([kind, values]) => [kind, rightGuesses(values, same)]));
      return guesses.get(another) ?? NaN;
    },
    peers: others.map((kind) => ({
      name: kind,
      run: () => Promise.resolve(guesses.get(kind) ?? NaN),
    })),
  };
}

/** Refused keys by reason. */
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
    select id from bulwark.organizations where slug = 'org-2'
  `;
  const suspended = await several(async () => (await issueKey(sql, other.id)).api_key);
  await sql`
    insert into bulwark.api_key_policies (organization_id, allowed, decided_with_mfa)
      values (${other.id}, false, true)
  `;
  const removed = await someoneElse(sql, organization);
  const theirs = await several(async () =>
    (await issueKey(sql, organization, null, removed)).api_key
  );
  await sql`select bulwark.revoke_role(${removed}, 'admin', ${organization})`;
  return new Map([
    [none, await several(random)],
    [another, await several(random)],
    ["a malformed one", await several(() => crypto.randomUUID())],
    [
      "a revoked one",
      await several(async () => {
        const { id, api_key } = await issueKey(sql, organization);
        await sql`select bulwark.revoke_api_key(${id}, 'for the benchmark')`;
        return api_key;
      }),
    ],
    [
      "an expired one",
      await several(async () => {
        const { id, api_key } = await issueKey(sql, organization);
        await sql`update bulwark.api_keys set expires_at = now() where id = ${id}`;
        return api_key;
      }),
    ],
    ["one of an organization that allows none", suspended],
    ["one whose owner was removed", theirs],
    [
      "one from elsewhere",
      await several(async () => (await issueKey(sql, organization, "{203.0.113.0/24}")).api_key),
    ],
  ]);
}

/** A second administrator of an organization. */
async function someoneElse(sql: Sql, organization: string): Promise<string> {
  const id = crypto.randomUUID();
  await sql`insert into auth.users (id, email) values (${id}, ${`${id}@bench.test`})`;
  await sql`select bulwark.grant_role(${id}, 'admin', ${organization})`;
  return id;
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

/**
 * The area under the ROC curve (Mann and Whitney's U of the two samples, ties counting half),
 * folded at 0.5: the share of pairs that the better of the two rules tells apart.
 */
export function rightGuesses(values: number[], others: number[]): number {
  const sorted = others.toSorted((a, b) => a - b);
  const countBelow = (value: number, including: boolean) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = sorted[middle] ?? NaN;
      if (other < value || including && other === value) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const won = values.reduce(
    (sum, value) => sum + (countBelow(value, false) + countBelow(value, true)) / 2,
    0,
  );
  const area = won / (values.length * others.length);
  return Math.max(area, 1 - area);
}
