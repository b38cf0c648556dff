import { createHash, createHmac } from "node:crypto";
import type { CallerClient } from "../caller.ts";
import { networkOf } from "./address.ts";
import { costOf, decisionOf, type Identifier, identifiersOf, type Terms } from "./arithmetic.ts";
import type { Charge, Decision, RateLimitStore } from "./decision.ts";
import { onlyRow } from "./postgres_store.ts";

/** What the store uses of a connection; ioredis has it. */
export interface RedisConnection {
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
 * Charges all buckets or none, on the clock of Redis: the same arithmetic as
 * private.charge_buckets. A bucket is the microsecond at which it is full again; it expires then,
 * because a full bucket says nothing. The last key says whether the caller is blocked (until which
 * millisecond), or on the list of those that are always allowed; where nothing says so, nothing is
 * charged.
 */
const script = `
local time = redis.call('TIME')
local present = time[1] * 1000000 + time[2]
local cost, whole, listed = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'listed'
local standing = redis.call('GET', KEYS[#KEYS])
if not standing then return { 'unknown' } end
if standing == 'allowed' then
  if not listed then return { 'allowed' } end
elseif tonumber(standing) * 1000 > present then
  return { 'blocked', tostring(math.ceil((tonumber(standing) * 1000 - present) / 1000000)) }
end
local answer, admitted, kept = { string.format('%.0f', present) }, true, {}
for i = 1, #KEYS - 1 do
  local full = tonumber(redis.call('GET', KEYS[i]) or present)
  kept[i] = math.min(math.max(full, present), present + whole)
  if kept[i] + cost > present + whole then admitted = false end
end
for i = 1, #KEYS - 1 do
  local alone = kept[i] + cost <= present + whole
  if admitted then
    kept[i] = kept[i] + cost
    redis.call('SET', KEYS[i], string.format('%.0f', kept[i]),
      'PX', math.ceil((kept[i] - present) / 1000))
  end
  answer[#answer + 1] = string.format('%.0f', kept[i])
  answer[#answer + 1] = alone and '1' or '0'
end
return answer
`;
const scriptHash = createHash("sha1").update(script).digest("hex");

/**
 * Buckets in Redis, for projects that have outgrown Postgres. Rules, blocks and what is noted of
 * refusals stay in the database, which is asked about each once in a while. Keys are HMACs under the
 * project's secret key, so that Redis holds no address and no account.
 */
export function redisStore(
  redis: RedisConnection,
  client: CallerClient,
  secret: string,
  options: RedisStoreOptions = {},
): RateLimitStore {
  const { ruleSeconds = 60, blockSeconds = 15, reportMilliseconds = 1000 } = options;
  const known = new Map<string, { terms: Terms; until: number }>();
  const key = (...parts: (string | null)[]) =>
    "bulwark:" + createHmac("sha256", secret).update(JSON.stringify(parts)).digest("base64url")
      .slice(0, 22);

  async function termsOf(charge: Charge): Promise<Terms> {
    const { rule, organizationId, apiKeyId } = charge;
    const name = JSON.stringify([rule, organizationId ?? null, apiKeyId ?? null]);
    const cached = known.get(name);
    if (cached && cached.until > Date.now()) return cached.terms;
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
        scope: row.scope,
      };
      if (known.size >= 10_000) known.clear();
      known.set(name, { terms, until: Date.now() + ruleSeconds * 1000 });
      return terms;
    } catch (thrown) {
      // An old rule is better than none while the database is away.
      if (cached) return cached.terms;
      throw thrown;
    }
  }

  const standingKey = ({ rule, userId, apiKeyId, account }: Charge, address: string | null) =>
    key("standing", rule, userId ?? null, apiKeyId ?? null, address, account ?? null);

  /** Asks the database whether the caller is blocked, and remembers that for all. */
  async function learnStanding(charge: Charge, address: string | null): Promise<void> {
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
    await redis.call("SET", standingKey(charge, address), value, "EX", blockSeconds);
  }

  async function run(keys: string[], ...args: (string | number)[]): Promise<string[]> {
    try {
      return await redis.call("EVALSHA", scriptHash, keys.length, ...keys, ...args) as string[];
    } catch (thrown) {
      if (!String(thrown).includes("NOSCRIPT")) throw thrown;
      return await redis.call("EVAL", script, keys.length, ...keys, ...args) as string[];
    }
  }

  /** Has the database count a refusal; seconds for which that blocks the caller, or null. */
  async function report(charge: Charge, denied: Identifier[]): Promise<number | null> {
    const names = denied.map(({ name }) => name);
    if (reportMilliseconds > 0) {
      const place = key("reported", charge.rule, ...names);
      if (await redis.call("SET", place, "1", "PX", reportMilliseconds, "NX") === null) return null;
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
      const terms = await termsOf(charge);
      const cost = charge.cost ?? 1;
      if (!Number.isInteger(cost) || cost < 1 || cost > terms.capacity) {
        throw new Error(`a call under ${charge.rule} costs 1 to ${terms.capacity} tokens`);
      }
      const address = networkOf(charge.address);
      const standing = standingKey(charge, address);
      const spent = costOf(terms, cost);
      const attempt = (identifiers: Identifier[], ...listed: string[]) =>
        run(
          [...identifiers.map(({ kind, name }) => key(terms.scope, kind, name)), standing],
          spent.cost,
          spent.whole,
          ...listed,
        );
      let identifiers = identifiersOf(terms, charge, address);
      let answer = await attempt(identifiers);
      if (answer[0] === "unknown") {
        await learnStanding(charge, address);
        answer = await attempt(identifiers);
      }
      if (answer[0] === "allowed") {
        identifiers = identifiers.filter(({ kind }) => kind !== "address");
        if (identifiers.length === 0) return decisionOf(charge, terms, 0, []);
        answer = await attempt(identifiers, "listed");
      }
      if (answer[0] === "blocked") return blocked(charge, terms, Number(answer[1]));
      const buckets = identifiers.map((identifier, index) => ({
        identifier,
        fullAt: Number(answer[1 + 2 * index]),
        admitted: answer[2 + 2 * index] === "1",
      }));
      const decision = decisionOf(charge, terms, Number(answer[0]), buckets);
      if (decision.allowed) return decision;
      const denied = buckets.filter(({ admitted }) => !admitted);
      const seconds = await report(charge, denied.map(({ identifier }) => identifier));
      if (seconds === null) return decision;
      const until = String(Date.now() + seconds * 1000);
      await redis.call("SET", standing, until, "EX", Math.min(blockSeconds, seconds));
      return blocked(charge, terms, seconds);
    },
  };
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
