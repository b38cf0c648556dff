import {
  fromDeno,
  type GetVariable,
  readRedisTimeout,
  readServiceEnv,
  type ServiceEnv,
} from "../foundation/env.ts";

/** The environment of a function that limits rates. */
export interface RateLimitEnv extends ServiceEnv {
  /** Where buckets are kept instead of Postgres; null: in Postgres. */
  redisUrl: string | null;
  /** How long a command to Redis may take, in milliseconds; 100 by default. */
  redisTimeoutMs?: number;
  /** The header that a trusted proxy writes the client's address to; null: none is trusted. */
  addressHeader: string | null;
  /** How many trusted proxies append to that header. */
  addressHops: number;
  /** The headers with latitude and longitude that a trusted proxy writes; null: none does. */
  placeHeaders: [latitude: string, longitude: string] | null;
}

/** @throws Error naming the variable that is missing or has no valid form */
export function readRateLimitEnv(get: GetVariable = fromDeno): RateLimitEnv {
  const addressHops = Number(get("BULWARK_ADDRESS_HOPS") || 1);
  if (!Number.isInteger(addressHops) || addressHops < 1) {
    throw new Error("BULWARK_ADDRESS_HOPS is not a number of proxies");
  }
  const [latitude, longitude] = (get("BULWARK_PLACE_HEADERS") ?? "").split(",");
  return {
    ...readServiceEnv(get),
    redisUrl: get("REDIS_URL") || null,
    redisTimeoutMs: readRedisTimeout(get),
    addressHeader: get("BULWARK_ADDRESS_HEADER") || null,
    addressHops,
    placeHeaders: latitude && longitude ? [latitude.trim(), longitude.trim()] : null,
  };
}
