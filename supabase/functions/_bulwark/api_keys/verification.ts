import { LRUCache } from "lru-cache";
import { fromDataApi } from "../foundation/errors.ts";
import type { CallerClient } from "../foundation/caller.ts";
import type { Decision } from "../rate_limits/decision.ts";
import { hashOf } from "./format.ts";

/** A key that was in force when it was looked up. */
export interface KeyInForce {
  apiKeyId: string;
  organizationId: string;
  /** Milliseconds since 1970. */
  expiresAt: number;
}

/** Result of a key's verification. */
export interface Verdict {
  /** Null for every key that is not in force, for any reason. */
  key: KeyInForce | null;
  /** The rate limit's decision: of the key, or of the address for invalid keys. */
  decision: Decision;
}

/** Looks up a key. The address was written by a trusted proxy, or is null. */
export type VerifyKey = (apiKey: string, address: string | null) => Promise<Verdict>;

/**
 * How long an accepted key is cached, in milliseconds. Short enough that a revocation takes effect
 * within a second; tokens made in between are worthless once the key is revoked.
 */
const rememberedMilliseconds = 500;
const maximumRemembered = 1000;

/** Options of {@link keyVerifier}. */
export interface VerifierOptions {
  /** A monotonic clock in milliseconds. */
  now?: () => number;
}

/**
 * A verifier over the database. Keys that are not in force are never cached, and take the same
 * steps for every reason. Only the key's hash leaves this function.
 */
export function keyVerifier(client: CallerClient, options: VerifierOptions = {}): VerifyKey {
  const now = options.now ?? (() => performance.now());
  const remembered = new LRUCache<string, { verdict: Verdict; until: number }>({
    max: maximumRemembered,
  });
  return async (apiKey, address) => {
    const hash = hashOf(apiKey);
    const name = `${hash}/${address}`;
    const known = remembered.get(name);
    if (known && known.until > now()) return known.verdict;
    remembered.delete(name);
    const asked = now();
    const { data, error, status } = await client.rpc("exchange_api_key", {
      key_hash: hash,
      ...address === null ? {} : { address },
    });
    if (error) throw fromDataApi({ status, error });
    const [row] = data;
    if (!row) throw new Error("exchange_api_key answered nothing");
    const verdict: Verdict = {
      key: row.api_key_id === null ? null : {
        apiKeyId: row.api_key_id,
        organizationId: row.organization_id,
        expiresAt: Date.parse(row.expires_at),
      },
      decision: {
        allowed: row.allowed,
        reason: row.reason as Decision["reason"],
        rule: row.rule,
        capacity: row.capacity,
        windowSeconds: row.window_seconds,
        remaining: row.remaining,
        resetSeconds: row.reset_seconds,
        retryAfterSeconds: row.retry_after_seconds,
        whenStoreFails: "closed",
      },
    };
    if (verdict.key && verdict.decision.allowed) {
      // Counted from before the look-up, so that a revocation during it is not delayed further.
      remembered.set(name, { verdict, until: asked + rememberedMilliseconds });
    }
    return verdict;
  };
}
