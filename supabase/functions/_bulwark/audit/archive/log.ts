import type { CallerClient } from "../../foundation/caller.ts";
import { unwrap } from "../../foundation/errors.ts";
import { type ExportSource, exportSource } from "../export.ts";
import { writerProofs } from "../log.ts";
import type { Signer } from "../note.ts";
import type { AuditEntry } from "../records.ts";
import type { StoredFile } from "./bucket.ts";
import type { BundleRange } from "./bundle.ts";

/** A file that is to be written, as the database names it. */
export interface DueFile extends BundleRange {
  number: number;
}

/** The next step of archiving a month. */
export type ArchiveStep =
  & { month: string }
  & (
    | { step: "wait"; for: "seal" | "checkpoint" }
    | { step: "check" | "finish" }
    | { step: "write"; file: DueFile; snapshot: string }
  );

/** How an attempt to drop a month ended. */
export type FinishStep =
  | { step: "done"; dropped: number }
  | { step: "check" | "write" }
  | { step: "copied"; because: "legal_hold" | "partition_not_over" }
  | { step: "stale"; organization_id: string | null };

/** A file of an archived month, as it was recorded. */
export interface RecordedFile extends DueFile {
  ndjson: StoredFile;
  parquet: StoredFile;
}

/** The database operations of the archive. */
export interface ArchiveLog {
  /** The next step; null: no month through that date is due (null: by the setting). */
  next(through: string | null): Promise<ArchiveStep | null>;
  check(month: string): Promise<void>;
  source(organization: string | null): ExportSource;
  /** False if another run was first. */
  record(month: string, file: RecordedFile & Record<string, unknown>): Promise<boolean>;
  files(month: string, organization?: string | null): Promise<RecordedFile[]>;
  forget(month: string, organization: string | null): Promise<void>;
  finish(month: string): Promise<FinishStep>;
  beginRestore(month: string, reason: string, of: RestoredLog): Promise<RecordedFile[]>;
  restore(month: string, seal: number, first: number, entries: AuditEntry[]): Promise<number>;
}

/** The log to restore from: an organization's, that of entries without one (null), or all. */
export type RestoredLog = { organization_id: string | null } | "everybody";

const ofOrganization = (id: string | null) => id === null ? {} : { organization_id: id };

/** The archive of the log, accessed as the service role through the Data API. */
export function archiveLog(client: CallerClient, signers: readonly Signer[]): ArchiveLog {
  const proofs = () => writerProofs(signers);
  return {
    async next(through) {
      const asked = through === null ? {} : { through };
      return unwrap(await client.rpc("next_audit_archive", asked)) as unknown as ArchiveStep | null;
    },
    async check(month) {
      unwrap(await client.rpc("check_audit_archive", { month }));
    },
    source: (organization) => exportSource(client, organization),
    async record(month, file) {
      const asked = { month, file: file as never, signers: await proofs() };
      return unwrap(await client.rpc("record_audit_archive_file", asked));
    },
    async files(month, organization) {
      const files: RecordedFile[] = [];
      for (;;) {
        const all = client.from("audit_archive_files").select(fields).eq("month", month);
        const asked = organization === undefined
          ? all
          : organization === null
          ? all.is("organization_id", null)
          : all.eq("organization_id", organization);
        const page = unwrap(
          await asked.order("organization_id").order("number").range(
            files.length,
            files.length + 999,
          ),
        );
        files.push(...page.map(recordedFile));
        if (page.length < 1000) return files;
      }
    },
    async forget(month, organization) {
      const asked = { month, ...ofOrganization(organization) };
      unwrap(await client.rpc("forget_audit_archive_files", asked));
    },
    async finish(month) {
      const asked = { month, signers: await proofs() };
      return unwrap(await client.rpc("finish_audit_archive", asked)) as unknown as FinishStep;
    },
    async beginRestore(month, reason, of) {
      const whose = of === "everybody" ? { everybody: true } : ofOrganization(of.organization_id);
      const asked = { month, reason, ...whose };
      const files = unwrap(await client.rpc("begin_audit_restore", asked).select(fields));
      return files.map(recordedFile);
    },
    async restore(month, seal, first, entries) {
      const asked = { month, seal, first, entries: entries as never };
      const whose = ofOrganization(entries[0]?.organization_id ?? null);
      return unwrap(await client.rpc("restore_audit_entries", { ...asked, ...whose }));
    },
  };
}

// deno-fmt-ignore
const fields =
  "organization_id, number, after, cursor, entries, key, bytes, sha256::text, etag, parquet_key, parquet_bytes, parquet_sha256::text, parquet_etag";

// deno-lint-ignore no-explicit-any -- the generated types do not know columns that are cast
function recordedFile(row: any): RecordedFile {
  const { organization_id, number, after, cursor, entries, key, bytes, sha256, etag } = row;
  return {
    organization_id,
    number,
    after,
    cursor,
    entries,
    // A bytea as text begins with a backslash and an x.
    ndjson: { key, bytes, sha256: sha256.slice(2), etag },
    parquet: {
      key: row.parquet_key,
      bytes: row.parquet_bytes,
      sha256: row.parquet_sha256.slice(2),
      etag: row.parquet_etag,
    },
  };
}
