import { createHmac } from "node:crypto";
import type { CallerClient } from "../caller.ts";
import { networkOf } from "./address.ts";
import { costOf, decisionOf, type Identifier, identifiersOf, type Terms } from "./arithmetic.ts";
import type { Charge, Decision, RateLimitStore } from "./decision.ts";
import { onlyRow } from "./postgres_store.ts";

/** The commands of ioredis that the store uses. */
export interface RedisCommands {
  eval(script: string, keys: number, ...args: (string | number)[]): Promise<unknown>;
  get(key: string): Promise<string | null>;
  set(key: string, value: string, ...options: (string | number)[]): Promise<unknown>;
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
 * because a full bucket says nothing.
 */
const script = `
local time = redis.call('TIME')
local present = time[1] * 1000000 + time[2]
local cost, whole = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer, admitted, kept = { string.format('%.0f', present) }, true, {}
for i, key in ipairs(KEYS) do
  local full = tonumber(redis.call('GET', key) or present)
  kept[i] = math.min(math.max(full, present), present + whole)
  if kept[i] + cost > present + whole then admitted = false end
end
for i, key in ipairs(KEYS) do
  local alone = kept[i] + cost <= present + whole
  if admitted then
    kept[i] = kept[i] + cost
    redis.call('SET', key, string.format('%.0f', kept[i]),
      'PX', math.ceil((kept[i] - present) / 1000))
  end
  answer[#answer + 1] = string.format('%.0f', kept[i])
  answer[#answer + 1] = alone and '1' or '0'
end
return answer
`;

/**
 * Buckets in Redis, for projects that have outgrown Postgres. Rules, blocks and what is noted of
 * refusals stay in the database, which is asked about each once in a while. Keys are HMACs under the
 * project's secret key, so that Redis holds no address and no account.
 */
export function redisStore(
  redis: RedisCommands,
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

  /** Seconds for which the caller is blocked, or "allowed" where the address is on that list. */
  async function standingOf(charge: Charge, address: string | null): Promise<number | "allowed"> {
    const place = standingKey(charge, address);
    const cached = await redis.get(place);
    if (cached === "allowed") return cached;
    if (cached !== null) return Math.max(0, Math.ceil((Number(cached) - Date.now()) / 1000));
    const row = onlyRow(
      await client.rpc("rate_limit_block_of", {
        rule: charge.rule,
        ...charge.userId ? { user_id: charge.userId } : {},
        ...charge.apiKeyId ? { api_key_id: charge.apiKeyId } : {},
        ...address ? { address: charge.address ?? "" } : {},
        ...charge.account ? { account: charge.account } : {},
      }),
    );
    const seconds = row.retry_after_seconds ?? 0;
    const value = row.allowed ? "allowed" : String(Date.now() + seconds * 1000);
    await redis.set(place, value, "EX", blockSeconds);
    return row.allowed ? "allowed" : seconds;
  }

  async function charged(
    terms: Terms,
    identifiers: Identifier[],
    charge: Charge,
  ): Promise<{ decision: Decision; denied: Identifier[] }> {
    const { cost, whole } = costOf(terms, charge.cost);
    const keys = identifiers.map(({ kind, name }) => key(terms.scope, kind, name));
    const [present, ...answer] = await redis.eval(
      script,
      keys.length,
      ...keys,
      cost,
      whole,
    ) as string[];
    const buckets = identifiers.map((identifier, index) => ({
      identifier,
      fullAt: Number(answer[2 * index]),
      admitted: answer[2 * index + 1] === "1",
    }));
    return {
      decision: decisionOf(charge, terms, Number(present), buckets),
      denied: buckets.filter(({ admitted }) => !admitted).map(({ identifier }) => identifier),
    };
  }

  /** Has the database count a refusal; seconds for which that blocks the caller, or null. */
  async function report(charge: Charge, denied: Identifier[]): Promise<number | null> {
    const names = denied.map(({ name }) => name);
    if (reportMilliseconds > 0) {
      const place = key("reported", charge.rule, ...names);
      if (await redis.set(place, "1", "PX", reportMilliseconds, "NX") === null) return null;
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
      const standing = await standingOf(charge, address);
      const blocked = (seconds: number, decision: Partial<Decision> = {}): Decision => ({
        ...decisionOf(charge, terms, 0, []),
        ...decision,
        allowed: false,
        reason: "block",
        remaining: 0,
        resetSeconds: seconds,
        retryAfterSeconds: seconds,
      });
      if (standing !== "allowed" && standing > 0) return blocked(standing);
      let identifiers = identifiersOf(terms, charge, address);
      if (standing === "allowed") {
        identifiers = identifiers.filter(({ kind }) => kind !== "address");
        if (identifiers.length === 0) return decisionOf(charge, terms, 0, []);
      }
      const { decision, denied } = await charged(terms, identifiers, charge);
      if (decision.allowed) return decision;
      const seconds = await report(charge, denied);
      if (seconds === null) return decision;
      const until = String(Date.now() + seconds * 1000);
      await redis.set(standingKey(charge, address), until, "EX", Math.min(blockSeconds, seconds));
      return blocked(seconds);
    },
  };
}
