/** Why an archive run ended. */
import assert from "node:assert/strict";
import { organization, SampleLog, sampleSigner } from "../../../scripts/audit/sample.ts";
import { archiveMonths } from "../../../supabase/functions/_bulwark/audit/archive/archiving.ts";
import type { Bucket } from "../../../supabase/functions/_bulwark/audit/archive/bucket.ts";
import type { ArchiveLog } from "../../../supabase/functions/_bulwark/audit/archive/log.ts";
import type { ExportSource } from "../../../supabase/functions/_bulwark/audit/export.ts";
import { BulwarkError } from "../../../supabase/functions/_bulwark/foundation/errors.ts";

const signer = await sampleSigner(1);
const log = new SampleLog(signer);
for (let seal = 0; seal < 3; seal++) await log.seal(log.entries(1500, organization));
await log.sign();

/** Archives a month of one file, whose pages come from a source; the names of what was stored. */
async function archive(source: ExportSource): Promise<string[]> {
  const stored: string[] = [];
  const file = {
    organization_id: organization,
    number: 1,
    after: null,
    cursor: "3:1500",
    entries: 4500,
  };
  let isDue = true;
  const partial: Partial<ArchiveLog> = {
    next: () =>
      Promise.resolve(isDue ? { month: "2026-10-01", step: "write", file, snapshot: "" } : null),
    source: () => source,
    record: () => Promise.resolve(!(isDue = false)),
  };
  const bucket: Partial<Bucket> = {
    store(key) {
      stored.push(key);
      return Promise.resolve({ key, bytes: 1, sha256: "", etag: "" });
    },
  };
  await archiveMonths({
    log: partial as ArchiveLog,
    bucket: { url: "", ...bucket } as Bucket,
    keys: { signers: [signer], known: [signer] } as never,
    through: null,
    timeMs: 1000,
  });
  return stored;
}

Deno.test("ARC-U01: a database that stops answering is named, not a log that is not intact", async () => {
  const source = log.source(organization, 1);
  assert.equal((await archive(source)).length, 2);
  const away = new BulwarkError(503, "DATA_API_UNAVAILABLE", "Cannot reach the database: timeout");
  const stored: string[] = [];
  const page: ExportSource["page"] = (after, ...asked) =>
    after === "2:1500" ? Promise.reject(away) : source.page(after, ...asked);
  await assert.rejects(
    archive({ ...source, page }).then((names) => stored.push(...names)),
    { code: "DATA_API_UNAVAILABLE", status: 503 },
  );
  assert.deepEqual(stored, []);
});

Deno.test("ARC-U02: an entry that differs from its seal is still one", async () => {
  const source = log.source(organization, 1);
  const page: ExportSource["page"] = async (...asked) => {
    const page = structuredClone(await source.page(...asked));
    page.groups[0]!.entries[7]!.severity = "debug";
    return page;
  };
  await assert.rejects(archive({ ...source, page }), { code: "AUDIT_ARCHIVE_NOT_INTACT" });
});
