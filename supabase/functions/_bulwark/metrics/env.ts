import {
  fromDeno,
  type GetVariable,
  readSecretKey,
  readServiceEnv,
  type ServiceEnv,
} from "../foundation/env.ts";

/** The environment of recording. */
export interface MetricsEnv {
  url: string;
  secretKey: string;
  /** Milliseconds between the first value and its flush. */
  flushDelay: number;
  /** Bytes. */
  memoryLimit: number;
}

/** The environment of recording; null where a function has no secret key and so cannot record. */
export function readMetricsEnv(get: GetVariable = fromDeno): MetricsEnv | null {
  const url = get("SUPABASE_URL");
  if (!url || !(get("SUPABASE_SECRET_KEYS") || get("SUPABASE_SERVICE_ROLE_KEY"))) return null;
  return {
    url: url.replace(/\/+$/, ""),
    secretKey: readSecretKey(get),
    flushDelay: Number(get("BULWARK_METRICS_FLUSH_MS")) || 2000,
    memoryLimit: (Number(get("BULWARK_MEMORY_LIMIT_MB")) || 256) * 1024 * 1024,
  };
}

/** The environment of the function `bulwark-metrics`. */
export interface MetricsFunctionEnv extends ServiceEnv {
  /** The bearer token of a scraper; null: only users may read. */
  scrapeToken: string | null;
  /** The key-encryption keys, which the health check compares with the registered ones. */
  encryptionKeys: string | null;
}

/** @throws Error naming the variable that is missing */
export function readMetricsFunctionEnv(get: GetVariable = fromDeno): MetricsFunctionEnv {
  return {
    ...readServiceEnv(get),
    scrapeToken: get("BULWARK_METRICS_TOKEN") || null,
    encryptionKeys: get("BULWARK_ENCRYPTION_KEYS") || null,
  };
}
