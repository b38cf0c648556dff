import { BulwarkError } from "../../foundation/errors.ts";
import type { DataClient } from "../../foundation/clients.ts";
import { readLogKeys } from "../checkpoint.ts";
import type { AuditEnv } from "../env.ts";
import type { ArchiveInput, RestoreInput } from "../operations.ts";
import { archiveMonths } from "./archiving.ts";
import { openBucket } from "./bucket.ts";
import { archiveLog } from "./log.ts";
import { restoreMonth } from "./restoring.ts";

/** A call works for so long, and is followed by another one. */
const timeMs = 15_000;

/** Archives the months through one, or those that are due by the setting. */
export async function archive(client: DataClient, env: AuditEnv, { through }: ArchiveInput) {
  // The job also runs where nothing is archived.
  if (await archiveLog(client, []).next(through) === null) {
    return { archived: [], files: 0, entries: 0, waiting: null, more: false };
  }
  const keys = await readLogKeys(env);
  const log = archiveLog(client, keys.signers);
  return await archiveMonths({ log, bucket: bucketOf(env), keys, through, timeMs });
}

/** Loads entries of an archived month for an investigation. */
export async function restore(client: DataClient, env: AuditEnv, asked: RestoreInput) {
  const keys = await readLogKeys(env);
  const log = archiveLog(client, keys.signers);
  return await restoreMonth({ ...asked, log, bucket: bucketOf(env), keys, timeMs });
}

function bucketOf({ archive }: AuditEnv) {
  if (archive) return openBucket(archive);
  throw new BulwarkError(
    503,
    "AUDIT_ARCHIVE_NOT_CONFIGURED",
    "Cannot archive: BULWARK_AUDIT_ARCHIVE is not set",
  );
}
