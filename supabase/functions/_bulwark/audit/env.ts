import { fromDeno, type GetVariable, readServiceEnv, type ServiceEnv } from "../foundation/env.ts";

/** The environment of the function `bulwark-audit`. */
export interface AuditEnv extends ServiceEnv {
  /** The bearer token of the scheduler; null: its routes are closed. */
  schedulerSecret: string | null;
  /** The keys that sign checkpoints, the present one first; null: none are made. */
  signingKeys: string | null;
  /** Public keys that no longer sign here but did, separated by commas. */
  retiredKeys: string;
  /** The log's name in its checkpoints: the project's host and /audit by default. */
  origin: string;
  /** Where checkpoints go: an HTTP endpoint or storage:<bucket>; null: nowhere. */
  sink: string | null;
  /** The bearer token that the HTTP endpoint wants. */
  sinkToken: string | null;
}

/** @throws Error naming the variable that is missing */
export function readAuditEnv(get: GetVariable = fromDeno): AuditEnv {
  const env = readServiceEnv(get);
  return {
    ...env,
    schedulerSecret: get("BULWARK_SCHEDULER_SECRET") || null,
    signingKeys: get("BULWARK_AUDIT_SIGNING_KEYS") || null,
    retiredKeys: get("BULWARK_AUDIT_RETIRED_KEYS") ?? "",
    origin: get("BULWARK_AUDIT_ORIGIN") || `${new URL(env.url).host}/audit`,
    sink: get("BULWARK_AUDIT_SINK") || null,
    sinkToken: get("BULWARK_AUDIT_SINK_TOKEN") || null,
  };
}
