import { BulwarkError } from "../../foundation/errors.ts";
import { concat, toHex } from "../../foundation/bytes.ts";
import { startExport } from "../export.ts";
import { exportFormat } from "../formats.ts";
import { MalformedError } from "../encoding.ts";
import { sha256 } from "../merkle.ts";
import { NoteError } from "../note.ts";
import type { LogKeys } from "../checkpoint.ts";
import { ProofError } from "../proof.ts";
import type { Bucket } from "./bucket.ts";
import { readArchivedBundle } from "./bundle.ts";
import type { ArchiveLog, ArchiveStep, DueFile } from "./log.ts";
import { writeParquet } from "./parquet.ts";

/** The work that a call has done. */
export interface ArchiveReport {
  /** Months that were dropped, with the number of their entries. */
  archived: { month: string; entries: number }[];
  files: number;
  entries: number;
  /** The month that is under way, and why it does not go on; null: nothing is due. */
  waiting: { month: string; for: string } | null;
  /** Whether there is more to do now. */
  more: boolean;
}

/** The parts that archiving needs. */
export interface Archiving {
  log: ArchiveLog;
  bucket: Bucket;
  keys: LogKeys;
  /** Months through that of a date; null: those that the setting says. */
  through: string | null;
  /** Milliseconds after which no further step begins. */
  timeMs: number;
}

/** Requests to the bucket at once, when a month's files are looked for again. */
const parallel = 16;

/**
 * Archives the months that are due, step by step, the oldest first. A month is dropped from the log
 * only when each of its files was read back from the bucket and verified, and all of them are still
 * there. Ended at any point, also by a kill, the next call goes on after the last recorded file.
 * @throws BulwarkError 502 and 409 of the bucket, 500 AUDIT_ARCHIVE_NOT_INTACT
 */
export async function archiveMonths(options: Archiving): Promise<ArchiveReport> {
  const { log, bucket, through, timeMs } = options;
  const report: ArchiveReport = { archived: [], files: 0, entries: 0, waiting: null, more: false };
  const started = performance.now();
  for (;;) {
    const next = await log.next(through);
    if (next === null) return report;
    const { month } = next;
    if (next.step === "wait") return { ...report, waiting: { month, for: next.for } };
    if (performance.now() - started > timeMs) return { ...report, more: true };
    if (next.step === "check") {
      await log.check(month);
    } else if (next.step === "write") {
      if (await writeFile(next, options)) {
        report.files += 1;
        report.entries += next.file.entries;
      }
    } else {
      await requireFiles(log, bucket, month);
      const end = await log.finish(month);
      if (end.step === "done") report.archived.push({ month, entries: end.dropped });
      if (end.step === "copied") return { ...report, waiting: { month, for: end.because } };
      if (end.step === "stale") {
        // Payloads in these files were removed since, so the files go first.
        for (const { ndjson, parquet } of await log.files(month, end.organization_id)) {
          await bucket.remove(ndjson.key);
          await bucket.remove(parquet.key);
        }
        await log.forget(month, end.organization_id);
      }
    }
  }
}

/** Writes the next file of a month, and its copy as Parquet; false if another run was first. */
async function writeFile(
  { month, file, snapshot }: ArchiveStep & { step: "write" },
  { log, bucket, keys }: Archiving,
): Promise<boolean> {
  const { body } = await startExport(log.source(file.organization_id), {
    format: exportFormat("ndjson"),
    organization_id: file.organization_id,
    cursor: file.after,
    limit: file.entries,
    signers: keys.signers,
    // Otherwise a database that does not answer would look like a file that does not verify.
    isWhole: true,
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const bytes = concat(...chunks);
  const bundle = await verified(bytes, file, keys);
  // By its contents, so that a run that was stopped, or runs beside, never overwrites a file.
  const name = nameOf(month, file);
  const hash = toHex(await sha256(bytes)).slice(0, 16);
  const stored = await bucket.store(
    `ndjson/${name}-${hash}.ndjson`,
    bytes,
    "application/x-ndjson",
  );
  // By its place alone: a query reads all files of a folder, and must not see entries twice.
  const rows = bundle.groups.flatMap(({ group, entries }) =>
    entries.map((entry) => ({ entry, seal: group.seal }))
  );
  const parquet = await bucket.store(
    `parquet/${name}.parquet`,
    writeParquet(rows),
    "application/vnd.apache.parquet",
  );
  return await log.record(month, {
    ...file,
    removed: bundle.removed,
    snapshot,
    place: bucket.url,
    ndjson: stored,
    parquet,
  });
}

/** Reads a file as an auditor would, and says which it is if it does not hold. */
async function verified(bytes: Uint8Array, file: DueFile, { known }: LogKeys) {
  try {
    return await readArchivedBundle(bytes, file, known);
  } catch (thrown) {
    const isInvalid = thrown instanceof MalformedError || thrown instanceof NoteError ||
      thrown instanceof ProofError;
    if (!isInvalid) throw thrown;
    throw new BulwarkError(
      500,
      "AUDIT_ARCHIVE_NOT_INTACT",
      `Cannot archive: the export after ${file.after ?? "the beginning"} does not verify: ` +
        thrown.message,
    );
  }
}

/** The folder in the form that query engines read columns from, and the file in order. */
function nameOf(month: string, { organization_id, number }: DueFile): string {
  return `month=${month.slice(0, 7)}/organization=${organization_id ?? "none"}/` +
    String(number).padStart(6, "0");
}

async function requireFiles(log: ArchiveLog, bucket: Bucket, month: string): Promise<void> {
  const files = (await log.files(month)).flatMap(({ ndjson, parquet }) => [ndjson, parquet]);
  for (let place = 0; place < files.length; place += parallel) {
    await Promise.all(files.slice(place, place + parallel).map((file) => bucket.check(file)));
  }
}
