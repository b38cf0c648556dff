import { BulwarkError } from "../../foundation/errors.ts";
import type { LogKeys } from "../checkpoint.ts";
import { MalformedError } from "../encoding.ts";
import { NoteError } from "../note.ts";
import { ProofError } from "../proof.ts";
import type { Bucket } from "./bucket.ts";
import { readArchivedBundle } from "./bundle.ts";
import type { ArchiveLog, RestoredLog } from "./log.ts";

/** The entries that a call has restored. */
export interface RestoreReport {
  files: number;
  entries: number;
  /** The number of files after which the next call goes on; null: all were restored. */
  next: number | null;
}

/** The parts that restoring needs. */
export interface Restoring {
  log: ArchiveLog;
  bucket: Bucket;
  keys: LogKeys;
  month: string;
  reason: string;
  of: RestoredLog;
  /** How many files were restored by earlier calls. */
  from: number;
  timeMs: number;
}

/** Entries in one call of the database. */
const batch = 1000;

/**
 * Loads the entries of an archived month into `audit_restored_logs`. Each file has to be what its
 * tombstone says, and each entry what its seal holds. Repeating it is safe.
 * @throws BulwarkError 409 AUDIT_ARCHIVE_MISSING or AUDIT_ARCHIVE_ALTERED naming the file
 */
export async function restoreMonth(options: Restoring): Promise<RestoreReport> {
  const { log, bucket, keys, month, reason, of, from, timeMs } = options;
  const files = await log.beginRestore(month, reason, of);
  const report: RestoreReport = { files: 0, entries: 0, next: null };
  const started = performance.now();
  for (const file of files.slice(from)) {
    if (report.files > 0 && performance.now() - started > timeMs) {
      return { ...report, next: from + report.files };
    }
    const bytes = await bucket.read(file.ndjson);
    const { groups } = await readArchivedBundle(bytes, file, keys.known).catch((thrown) => {
      throw notIts(file.ndjson.key, thrown);
    });
    for (const { group, entries } of groups) {
      for (let first = 0; first < entries.length; first += batch) {
        const part = entries.slice(first, first + batch);
        report.entries += await log.restore(month, group.seal, first, part);
      }
    }
    report.files += 1;
  }
  return report;
}

function notIts(key: string, thrown: unknown): unknown {
  const isInvalid = thrown instanceof MalformedError || thrown instanceof NoteError ||
    thrown instanceof ProofError;
  if (!isInvalid) return thrown;
  return new BulwarkError(
    409,
    "AUDIT_ARCHIVE_ALTERED",
    `Cannot use the archive: ${key} does not verify: ${thrown.message}`,
  );
}
