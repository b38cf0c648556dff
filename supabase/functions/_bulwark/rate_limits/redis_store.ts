import { createHmac } from "node:crypto";
import type { CallerClient } from "../foundation/caller.ts";
import { Late } from "../foundation/redis/breaker.ts";
import { runScript, script } from "../foundation/redis/script.ts";
import { networkOf } from "./address.ts";
import { costOf, decisionOf, type Identifier, identifiersOf, type Terms } from "./arithmetic.ts";
import type { Charge, Decision, RateLimitStore } from "./decision.ts";
import { onlyRow } from "./postgres_store.ts";
import { together } from "./together.ts";

/** What the store uses of a connection; ioredis has it as well. */
export interface RedisConnection {
  /** Whether keys are spread over many servers by their slots. */
  isCluster?: boolean;
  call(command: string, ...args: (string | number)[]): Promise<unknown>;
}

/** What the store may be told to do otherwise than by default. */
export interface RedisStoreOptions {
  /** For how many seconds a rule is remembered. */
  ruleSeconds?: number;
  /** For how many seconds it is remembered that a caller is not blocked. */
  blockSeconds?: number;
  /** How many milliseconds lie between two refusals of a caller that the database is told of. */
  reportMilliseconds?: number;
}

/**
 * Decides calls one after the other, on the clock of Redis, and charges all buckets of a call or
 * none: the same arithmetic as bulwark_private.charge_buckets. A bucket is the microsecond at which it is
 * full again; it expires then, because a full bucket says nothing. ARGV has five for each run of
 * calls that are charged alike: how many, cost, whole, keys of each, and whether they ask for their
 * standing. Then the last key of a call says whether the caller is blocked (until which millisecond),
 * or on the list of those that are always allowed; where nothing says so, nothing is charged. A call
 * is answered with that, or with in how many microseconds each bucket is full again, negative where
 * it refuses.
 *
 * What a script costs is its commands: everything is read by one, and a bucket that several calls are
 * charged to is written once. Nothing is written before all is decided, and what is no number fails
 * the calls that are about it and no others.
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
      local standing = values[at + keys]
      if not standing then
        answer = 'unknown'
      elseif standing == 'allowed' then
        if asked ~= 'listed' then answer = standing end
      else
        local blocked = tonumber(standing)
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

/** What the script answers: what it knows of the caller, seconds of a block, or the charges. */
type Answer = "unknown" | "allowed" | "unreadable" | number | number[];

/** One call as the script decides it. */
interface Attempt {
  /** Its buckets, and where it is kept whether the caller is blocked. */
  keys: string[];
  cost: number;
  whole: number;
  asked: "nothing" | "standing" | "listed";
}

const maximumRemembered = 10_000;

/**
 * Buckets in Redis, for projects that have outgrown Postgres. Rules, blocks and what is noted of
 * refusals stay in the database, which is asked about each once in a while. Addresses and accounts
 * are HMACs under the project's secret key, so that Redis holds neither.
 */
export function redisStore(
  redis: RedisConnection,
  client: CallerClient,
  secret: string,
  options: RedisStoreOptions = {},
): RateLimitStore {
  // What is decided together, or of two buckets, has keys in many slots.
  if (redis.isCluster) throw new Error("Cannot keep rate limits in Redis: it is a cluster");
  const { ruleSeconds = 60, blockSeconds = 15, reportMilliseconds = 1000 } = options;
  const known = new Map<string, { terms: Terms; until: number }>();
  const hashes = new Map<string, string>();

  /** An address or account as it is called in Redis; remembered, since an HMAC costs a decision. */
  function hashOf(name: string): string {
    const hashed = hashes.get(name);
    if (hashed !== undefined) return hashed;
    const hash = createHmac("sha256", secret).update(name).digest("base64url").slice(0, 22);
    if (hashes.size >= maximumRemembered) hashes.clear();
    hashes.set(name, hash);
    return hash;
  }

  // Whatever has no fixed form comes last or hashed: no two callers have the same key.
  const bucketKey = (scope: string, { kind, name }: Identifier) =>
    kind === "user"
      ? `bulwark:bucket:${scope}:user:${name}`
      : `bulwark:bucket:${scope}:${kind}:${hashOf(name)}`;

  const termsName = ({ rule, organizationId, apiKeyId }: Charge) =>
    organizationId || apiKeyId ? `${rule}/${organizationId ?? ""}/${apiKeyId ?? ""}` : rule;

  function knownTerms(charge: Charge): Terms | undefined {
    const cached = known.get(termsName(charge));
    return cached && cached.until > Date.now() ? cached.terms : undefined;
  }

  async function learnTerms(charge: Charge): Promise<Terms> {
    const { rule, organizationId, apiKeyId } = charge;
    const name = termsName(charge);
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
      if (known.size >= maximumRemembered) known.clear();
      known.set(name, { terms, until: Date.now() + ruleSeconds * 1000 });
      return terms;
    } catch (thrown) {
      // An old rule is better than none while the database is away.
      const cached = known.get(name);
      if (cached) return cached.terms;
      throw thrown;
    }
  }

  /** Where it is kept whether the caller is blocked; null: nothing here could be. */
  function standingKey(charge: Charge, address: string | null): string | null {
    const { rule, userId, apiKeyId, account } = charge;
    if (!address && !apiKeyId) return null;
    const [from, tried] = [address ? hashOf(address) : "", account ? hashOf(account) : ""];
    return `bulwark:standing:${rule}:${from}:${tried}:${apiKeyId ?? ""}:${userId ?? ""}`;
  }

  /** Notes something; null where it was there before, or Redis did not take it: no decision fails. */
  function note(place: string, value: string, ...options: (string | number)[]): Promise<unknown> {
    return redis.call("SET", place, value, ...options).catch(() => null);
  }

  /** Asks the database whether the caller is blocked, and remembers that for all. */
  async function learnStanding(place: string, charge: Charge, address: string | null) {
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

  // Calls that come at once share a round trip, a command and a script.
  const run = together<Attempt, Answer>(async (attempts) => {
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
      // Redis may have charged them all the same; each call has an answer of its own then.
      const answers = thrown.answer as Promise<Answer[]>;
      return attempts.map((_, index) =>
        Promise.reject(new Late(thrown.message, answers.then((all) => all[index])))
      );
    }
  });

  /** Has the database count a refusal; seconds for which that blocks the caller, or null. */
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
      const standing = standingKey(charge, address);
      const spent = costOf(terms, cost);
      let identifiers = identifiersOf(terms, charge, address);
      /** A charge that Redis has made or refused; throws where it could not decide. */
      const outcome = (answer: Answer | undefined) => {
        if (!Array.isArray(answer)) throw new Error(`Redis does not remember: ${answer}`);
        const buckets = identifiers.map((identifier, index) => {
          const wait = answer[index] ?? -Infinity;
          return { identifier, fullAt: Math.abs(wait), admitted: wait >= 0 };
        });
        return { decision: decisionOf(charge, terms, 0, buckets), buckets };
      };
      const attempt = async (asked: "standing" | "listed") => {
        const keys = identifiers.map((identifier) => bucketKey(terms.scope, identifier));
        try {
          return await (standing
            ? run({ keys: [...keys, standing], ...spent, asked })
            : run({ keys, ...spent, asked: "nothing" }));
        } catch (thrown) {
          if (!(thrown instanceof Late)) throw thrown;
          const answer = thrown.answer as Promise<Answer | undefined>;
          const decided = answer.then((late) =>
            typeof late === "number" ? blocked(charge, terms, late) : outcome(late).decision
          );
          throw new Late(thrown.message, decided);
        }
      };
      let answer = await attempt("standing");
      if (answer === "unknown" && standing) {
        await learnStanding(standing, charge, address);
        answer = await attempt("standing");
      }
      if (answer === "allowed") {
        identifiers = identifiers.filter(({ kind }) => kind !== "address");
        if (identifiers.length === 0) return decisionOf(charge, terms, 0, []);
        answer = await attempt("listed");
      }
      if (typeof answer === "number") return blocked(charge, terms, answer);
      const { decision, buckets } = outcome(answer);
      if (decision.allowed) return decision;
      const denied = buckets.filter(({ admitted }) => !admitted);
      const seconds = await report(charge, denied.map(({ identifier }) => identifier));
      if (seconds === null) return decision;
      if (standing) {
        const until = String(Date.now() + seconds * 1000);
        await note(standing, until, "EX", Math.min(blockSeconds, seconds));
      }
      return blocked(charge, terms, seconds);
    },
  };
}

/** Whether two calls differ in their keys alone. */
function alike(one: Attempt, other: Attempt): boolean {
  return one.cost === other.cost && one.whole === other.whole && one.asked === other.asked &&
    one.keys.length === other.keys.length;
}

function blocked(charge: Charge, terms: Terms, seconds: number): Decision {
  return {
    ...decisionOf(charge, terms, 0, []),
    allowed: false,
    reason: "block",
    remaining: 0,
    resetSeconds: seconds,
    retryAfterSeconds: seconds,
  };
}
