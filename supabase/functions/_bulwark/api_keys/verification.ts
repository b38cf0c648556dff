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

/** What became of a key that somebody sent. */
export interface Verdict {
  /** Null for every key that is not in force, whatever the reason. */
  key: KeyInForce | null;
  /** Whether the key's own rate limit, or that of who sends wrong ones, lets it through. */
  decision: Decision;
}

/** Looks a key up. The address is what a trusted proxy wrote, or null. */
export type VerifyKey = (apiKey: string, address: string | null) => Promise<Verdict>;

/**
 * For how long a key that was in force counts as such without being looked up again, in
 * milliseconds: a token made meanwhile is worth nothing once the key is revoked, and a revocation is
 * felt here within a second as well.
 */
const rememberedMilliseconds = 500;
const maximumRemembered = 1000;

/** What {@link keyVerifier} may be told to do otherwise than by default. */
export interface VerifierOptions {
  /** Milliseconds on a clock that never goes back. */
  now?: () => number;
}

/**
 * A verifier over the database. A key that is not in force is looked up each time, and the steps are
 * the same whatever is wrong with it. Only its hash leaves this function.
 */
export function keyVerifier(client: CallerClient, options: VerifierOptions = {}): VerifyKey {
  const now = options.now ?? (() => performance.now());
  const remembered = new Map<string, { verdict: Verdict; until: number }>();
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
      if (remembered.size >= maximumRemembered) remembered.clear();
      // From before the question: what was revoked while it was under way is not remembered longer.
      remembered.set(name, { verdict, until: asked + rememberedMilliseconds });
    }
    return verdict;
  };
}
