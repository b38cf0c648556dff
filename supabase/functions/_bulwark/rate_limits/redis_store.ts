import { LRUCache } from "lru-cache";
import { createHmac } from "node:crypto";
import type { CallerClient } from "../foundation/caller.ts";
import { Late } from "../foundation/redis/breaker.ts";
import { runScript, script } from "../foundation/redis/script.ts";
import { networkOf } from "./address.ts";
import {
  blockedDecision,
  costOf,
  decisionOf,
  type Identifier,
  identifiersOf,
  scopeOf,
  type Terms,
} from "./arithmetic.ts";
import type { Charge, RateLimitStore } from "./decision.ts";
import { onlyRow } from "./postgres_store.ts";
import { batch } from "./batch.ts";

/** A Redis connection; ioredis fits too. */
export interface RedisConnection {
  /** Whether keys of a script must be in one slot. */
  readonly isCluster?: boolean;
  call(command: string, ...args: (string | number)[]): Promise<unknown>;
}

/** Options of the store. */
export interface RedisStoreOptions {
  /** Seconds for which a rule is cached; 60 by default. */
  ruleSeconds?: number;
  /** Seconds for which the status of a caller (blocked, allowed) is cached; 15 by default. */
  blockSeconds?: number;
  /** Milliseconds between two refusals of a caller that are reported to the database; 1,000. */
  reportMilliseconds?: number;
}

/**
 * Decides calls one after the other on the clock of Redis, with the arithmetic of
 * bulwark_private.charge_buckets: all buckets of a call are charged, or none. A bucket is the time at
 * which it is full again, in microseconds, and expires then.
 *
 * ARGV has five values for each run of equal calls: their number, cost, whole bucket, keys a call, and
 * `asked`. Unless that is `nothing`, a call's last key is the status of its caller: `allowed`, or the
 * millisecond until which the caller is blocked. Without a status nothing is charged and the answer
 * is `unknown`. Otherwise the answer is that status, or for each bucket the microseconds until it is
 * full again, negative where it refuses.
 *
 * Commands dominate a script's time: one reads all keys, and each bucket is written once, after all
 * calls are decided. A value that is no number fails only the calls that need it.
 */
const decideAll = script(`
local time = redis.call('TIME')
local present = time[1] * 1000000 + time[2]
local values = redis.call('MGET', unpack(KEYS))
local waits, answers, at = {}, {}, 0
for run = 1, #ARGV, 5 do
  local cost, whole = tonumber(ARGV[run + 1]), tonumber(ARGV[run + 2])
  local keys, asked = tonumber(ARGV[run + 3]), ARGV[run + 4]
  local buckets = asked == 'nothing' and keys or keys - 1
  for _ = 1, ARGV[run] do
    local answer
    if asked ~= 'nothing' then
      local status = values[at + keys]
      if not status then
        answer = 'unknown'
      elseif status == 'allowed' then
        if asked ~= 'listed' then answer = status end
      else
        local blocked = tonumber(status)
        if not blocked then
          answer = 'unreadable'
        elseif blocked * 1000 > present then
          answer = math.ceil((blocked * 1000 - present) / 1000000)
        end
      end
    end
    if not answer then
      local admitted = true
      answer = {}
      for i = 1, buckets do
        local wait = waits[KEYS[at + i]]
        if not wait then
          local full = tonumber(values[at + i] or present)
          if not full then
            answer, admitted = 'unreadable', false
            break
          end
          wait = math.max(full - present, 0)
        end
        if wait > whole - cost then
          admitted = false
          wait = -math.min(wait, whole)
        end
        answer[i] = wait
      end
      if admitted then
        for i = 1, buckets do
          answer[i] = answer[i] + cost
          waits[KEYS[at + i]] = answer[i]
        end
      end
    end
    answers[#answers + 1] = answer
    at = at + keys
  end
end
for key, wait in pairs(waits) do
  redis.call('SET', key, present + wait, 'PX', math.ceil(wait / 1000))
end
return answers
`);

/** Answer to one call: a status, the seconds of a block, or the state of each bucket. */
type Answer = "unknown" | "allowed" | "unreadable" | number | number[];

/** One call to the script. */
interface Attempt {
  scope: string;
  /** The keys of its buckets, and last that of its caller's status. */
  keys: string[];
  cost: number;
  whole: number;
  asked: "nothing" | "status" | "listed";
}

const maximumRemembered = 10_000;

/**
 * Buckets in Redis, for projects that have outgrown Postgres. Rules, blocks and violations stay in
 * the database and are cached here for seconds. Addresses and accounts are stored as HMACs under the
 * project's secret key.
 */
export function redisStore(
  redis: RedisConnection,
  client: CallerClient,
  secret: string,
  options: RedisStoreOptions = {},
): RateLimitStore {
  const { ruleSeconds = 60, blockSeconds = 15, reportMilliseconds = 1000 } = options;
  const known = new LRUCache<string, { terms: Terms; until: number }>({ max: maximumRemembered });
  const hashes = new LRUCache<string, string>({ max: maximumRemembered });

  /** The HMAC of an address or account; cached, because it takes as long as a decision. */
  function hashOf(name: string): string {
    const hashed = hashes.get(name);
    if (hashed !== undefined) return hashed;
    const hash = createHmac("sha256", secret).update(name).digest("base64url").slice(0, 22);
    hashes.set(name, hash);
    return hash;
  }

  // Names of free form are hashed, so that no two callers can have the same key.
  const bucketKey = (scope: string, { kind, name }: Identifier) =>
    kind === "user"
      ? `bulwark:bucket:{${scope}}:user:${name}`
      : `bulwark:bucket:{${scope}}:${kind}:${hashOf(name)}`;

  function knownTerms(charge: Charge): Terms | undefined {
    const cached = known.get(scopeOf(charge));
    return cached && cached.until > Date.now() ? cached.terms : undefined;
  }

  async function learnTerms(charge: Charge): Promise<Terms> {
    const { rule, organizationId, apiKeyId } = charge;
    const name = scopeOf(charge);
    try {
      const row = onlyRow(
        await client.rpc("rate_limit_rule", {
          rule,
          ...organizationId ? { organization_id: organizationId } : {},
          ...apiKeyId ? { api_key_id: apiKeyId } : {},
        }),
      );
      const terms: Terms = {
        capacity: row.capacity,
        windowSeconds: row.window_seconds,
        identifiedBy: row.identified_by,
        whenStoreFails: row.when_store_fails,
        scope: String(row.scope),
      };
      known.set(name, { terms, until: Date.now() + ruleSeconds * 1000 });
      return terms;
    } catch (thrown) {
      // While the database is not available, an expired rule is used.
      const cached = known.get(name);
      if (cached) return cached.terms;
      throw thrown;
    }
  }

  /** The key of the caller's status; null: such a caller cannot be blocked. */
  function statusKey(scope: string, charge: Charge, address: string | null): string | null {
    const { rule, userId, apiKeyId, account } = charge;
    if (!address && !apiKeyId) return null;
    const [from, tried] = [address ? hashOf(address) : "", account ? hashOf(account) : ""];
    return `bulwark:status:{${scope}}:${rule}:${from}:${tried}:${apiKeyId ?? ""}:${userId ?? ""}`;
  }

  /** Stores a value; null if it exists already (NX) or Redis fails, which fails no decision. */
  function note(place: string, value: string, ...options: (string | number)[]): Promise<unknown> {
    return redis.call("SET", place, value, ...options).catch(() => null);
  }

  /** Reads the caller's status from the database and caches it in Redis. */
  async function learnStatus(place: string, charge: Charge, address: string | null) {
    const row = onlyRow(
      await client.rpc("rate_limit_block_of", {
        rule: charge.rule,
        ...charge.userId ? { user_id: charge.userId } : {},
        ...charge.apiKeyId ? { api_key_id: charge.apiKeyId } : {},
        ...address ? { address: charge.address ?? "" } : {},
        ...charge.account ? { account: charge.account } : {},
      }),
    );
    const until = row.retry_after_seconds ? Date.now() + row.retry_after_seconds * 1000 : 0;
    const value = row.allowed ? "allowed" : String(until);
    await note(place, value, "EX", blockSeconds);
  }

  // Concurrent calls share one round trip and one script; on a cluster those of a scope do, whose keys
  // are in one slot, as the scope is their hash tag.
  const run = batch<Attempt, Answer>(async (attempts) => {
    if (!redis.isCluster) return await decideTogether(attempts);
    const groups = Map.groupBy(attempts, ({ scope }) => scope);
    const answers = new Map<Attempt, Promise<Answer>>();
    await Promise.allSettled([...groups.values()].map((group) => {
      const decided = decideTogether(group);
      group.forEach((attempt, index) => {
        const answer = decided.then((all) => all[index]!);
        answer.catch(() => {});
        answers.set(attempt, answer);
      });
      return decided;
    }));
    return attempts.map((attempt) => answers.get(attempt)!);
  });

  async function decideTogether(attempts: Attempt[]): Promise<(Answer | Promise<Answer>)[]> {
    const keys: string[] = [];
    const runs: (string | number)[] = [];
    let calls = 0;
    for (const [index, attempt] of attempts.entries()) {
      keys.push(...attempt.keys);
      calls++;
      const next = attempts[index + 1];
      if (next && alike(attempt, next)) continue;
      const { cost, whole, asked } = attempt;
      runs.push(calls, cost, whole, attempt.keys.length, asked);
      calls = 0;
    }
    try {
      return await runScript(redis, decideAll, keys, runs) as Answer[];
    } catch (thrown) {
      if (!(thrown instanceof Late)) throw thrown;
      // Redis may still charge them: each call gets its own late answer.
      const answers = thrown.answer as Promise<Answer[]>;
      return attempts.map((_, index) =>
        Promise.reject(new Late(thrown.message, answers.then((all) => all[index])))
      );
    }
  }

  /** Reports a refusal to the database; returns for how many seconds that blocks the caller, or null. */
  async function report(charge: Charge, denied: Identifier[]): Promise<number | null> {
    const names = denied.map(({ name }) => name);
    if (reportMilliseconds > 0) {
      const place = `bulwark:reported:${charge.rule}:${hashOf(JSON.stringify(names))}`;
      if (await note(place, "1", "PX", reportMilliseconds, "NX") === null) return null;
    }
    const { data } = await client.rpc("record_rate_limit_denial", {
      rule: charge.rule,
      kinds: denied.map(({ kind }) => kind),
      names,
      ...charge.address ? { address: charge.address } : {},
      ...charge.organizationId ? { organization_id: charge.organizationId } : {},
      ...charge.userId ? { user_id: charge.userId } : {},
      ...charge.apiKeyId ? { api_key_id: charge.apiKeyId } : {},
    });
    return data ?? null;
  }

  return {
    async decide(charge) {
      const terms = knownTerms(charge) ?? await learnTerms(charge);
      const cost = charge.cost ?? 1;
      if (!Number.isInteger(cost) || cost < 1 || cost > terms.capacity) {
        throw new Error(`a call under ${charge.rule} costs 1 to ${terms.capacity} tokens`);
      }
      const address = charge.address ? networkOf(charge.address) : null;
      const status = statusKey(terms.scope, charge, address);
      const spent = costOf(terms, cost);
      let identifiers = identifiersOf(terms, charge, address);
      /** The decision that an answer stands for; throws if it is not one. */
      const outcome = (answer: Answer | undefined) => {
        if (!Array.isArray(answer)) throw new Error(`Redis cannot decide: ${answer}`);
        const buckets = identifiers.map((identifier, index) => {
          const wait = answer[index] ?? -Infinity;
          return { identifier, fullAt: Math.abs(wait), admitted: wait >= 0 };
        });
        return { decision: decisionOf(charge, terms, 0, buckets), buckets };
      };
      const attempt = async (asked: "status" | "listed") => {
        const keys = identifiers.map((identifier) => bucketKey(terms.scope, identifier));
        try {
          return await (status
            ? run({ scope: terms.scope, keys: [...keys, status], ...spent, asked })
            : run({ scope: terms.scope, keys, ...spent, asked: "nothing" }));
        } catch (thrown) {
          if (!(thrown instanceof Late)) throw thrown;
          const answer = thrown.answer as Promise<Answer | undefined>;
          const decided = answer.then((late) =>
            typeof late === "number" ? blockedDecision(charge, terms, late) : outcome(late).decision
          );
          throw new Late(thrown.message, decided);
        }
      };
      let answer = await attempt("status");
      if (answer === "unknown" && status) {
        await learnStatus(status, charge, address);
        answer = await attempt("status");
      }
      if (answer === "allowed") {
        identifiers = identifiers.filter(({ kind }) => kind !== "address");
        if (identifiers.length === 0) return decisionOf(charge, terms, 0, []);
        answer = await attempt("listed");
      }
      if (typeof answer === "number") return blockedDecision(charge, terms, answer);
      const { decision, buckets } = outcome(answer);
      if (decision.allowed) return decision;
      const denied = buckets.filter(({ admitted }) => !admitted);
      const seconds = await report(charge, denied.map(({ identifier }) => identifier));
      if (seconds === null) return decision;
      if (status) {
        const until = String(Date.now() + seconds * 1000);
        await note(status, until, "EX", Math.min(blockSeconds, seconds));
      }
      return blockedDecision(charge, terms, seconds);
    },
  };
}

/** Whether two calls differ only in their keys. */
function alike(one: Attempt, other: Attempt): boolean {
  return one.cost === other.cost && one.whole === other.whole && one.asked === other.asked &&
    one.keys.length === other.keys.length;
}
