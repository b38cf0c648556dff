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
  /** Checkpoints up to this tree size sign a history that was given up; 0: none do. */
  abandoned: number;
  /** Where checkpoints go: an HTTP endpoint or storage:<bucket>; null: nowhere. */
  sink: string | null;
  /** The bearer token that the HTTP endpoint wants. */
  sinkToken: string | null;
  /** Where months of the log are archived; null: nowhere. */
  archive: ArchiveEnv | null;
}

/** A place in an S3 bucket. */
export interface ArchiveEnv {
  /** The URL of the bucket, or of a folder in it, without a trailing slash. */
  url: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** The object lock of each file; null: none. */
  lock: { mode: "GOVERNANCE" | "COMPLIANCE"; days: number } | null;
}

/** @throws Error naming the variable that is missing or has no valid form */
export function readAuditEnv(get: GetVariable = fromDeno): AuditEnv {
  const env = readServiceEnv(get);
  return {
    ...env,
    schedulerSecret: get("BULWARK_SCHEDULER_SECRET") || null,
    signingKeys: get("BULWARK_AUDIT_SIGNING_KEYS") || null,
    retiredKeys: get("BULWARK_AUDIT_RETIRED_KEYS") ?? "",
    origin: get("BULWARK_AUDIT_ORIGIN") || `${new URL(env.url).host}/audit`,
    abandoned: readTreeSize(get("BULWARK_AUDIT_ABANDONED")),
    sink: get("BULWARK_AUDIT_SINK") || null,
    sinkToken: get("BULWARK_AUDIT_SINK_TOKEN") || null,
    archive: readArchiveEnv(get),
  };
}

function readTreeSize(text: string | undefined): number {
  if (!text) return 0;
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new Error("BULWARK_AUDIT_ABANDONED is no tree size");
  return Number(text);
}

/** @throws Error naming the variable; its text never contains a key */
function readArchiveEnv(get: GetVariable): ArchiveEnv | null {
  const text = get("BULWARK_AUDIT_ARCHIVE");
  if (!text) return null;
  const url = URL.canParse(text) ? new URL(text) : null;
  const local = url?.protocol === "http:" && ["127.0.0.1", "localhost"].includes(url.hostname);
  const isPlain = url && !url.username && !url.password && !url.search && !url.hash;
  if (!isPlain || url.protocol !== "https:" && !local) {
    throw new Error("BULWARK_AUDIT_ARCHIVE is not the https URL of a bucket");
  }
  const demand = (name: string) => {
    const value = get(name);
    if (!value) throw new Error(`${name} is not set`);
    return value;
  };
  const lock = get("BULWARK_AUDIT_ARCHIVE_LOCK");
  const [, mode, days] = /^(governance|compliance):([1-9]\d{0,4})$/.exec(lock ?? "") ?? [];
  if (lock && !mode) throw new Error("BULWARK_AUDIT_ARCHIVE_LOCK is not <mode>:<days>");
  return {
    url: url.href.replace(/\/+$/, ""),
    region: get("BULWARK_AUDIT_ARCHIVE_REGION") || "us-east-1",
    accessKeyId: demand("BULWARK_AUDIT_ARCHIVE_KEY_ID"),
    secretAccessKey: demand("BULWARK_AUDIT_ARCHIVE_SECRET"),
    lock: mode === undefined
      ? null
      : { mode: mode === "compliance" ? "COMPLIANCE" : "GOVERNANCE", days: Number(days) },
  };
}
