/** Decisions that the unit tests of rate limits share. */
import type { Terms } from "../../../supabase/functions/_bulwark/rate_limits/arithmetic.ts";
import type {
  Decision,
  RateLimitStore,
} from "../../../supabase/functions/_bulwark/rate_limits/decision.ts";

export const terms: Terms = {
  capacity: 60,
  windowSeconds: 60,
  identifiedBy: "caller",
  whenStoreFails: "open",
  scope: "api_default/",
};
export const admitted: Decision = {
  allowed: true,
  reason: null,
  rule: "api_default",
  capacity: 60,
  windowSeconds: 60,
  remaining: 59,
  resetSeconds: 1,
  retryAfterSeconds: null,
  whenStoreFails: "open",
};
export const refused: Decision = {
  ...admitted,
  allowed: false,
  reason: "rate",
  remaining: 0,
  resetSeconds: 60,
  retryAfterSeconds: 7,
};
export const fixed = (decision: Decision): RateLimitStore => ({
  decide: () => Promise.resolve(decision),
});
export const silent = { log: () => {} };
