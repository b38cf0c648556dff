import type { CallerClient } from "../caller.ts";
import type { ExportFormat } from "./formats.ts";
import { unwrap } from "../errors.ts";
import type { AuditEntry, AuditGroup, GroupProof, PrunedLog } from "./records.ts";

/** What the database hands out at a time. */
export interface ExportPage {
  groups: (AuditGroup & { first: number; entries: AuditEntry[] })[];
  next: string | null;
  cursor: string | null;
  pruned: PrunedLog | null;
  proof: GroupProof | null;
}

/** Reads a page of so many entries after a cursor. */
export type ReadPage = (after: string | null, pageSize: number) => Promise<ExportPage>;

/** What to export, and how. */
export interface ExportOptions {
  format: ExportFormat;
  organization_id: string | null;
  /** Where an export before this one stopped; null: the beginning. */
  cursor: string | null;
  /** How many entries at most. */
  limit: number;
}

/** An export under way. */
export interface Export {
  body: ReadableStream<Uint8Array>;
  /** Where to go on, where that is known before the body is; undefined where it is not yet. */
  next: string | null | undefined;
}

/** More in one request would take longer than the hosted runtime allows. */
export const exportLimit = 50_000;

/** A page stays far below the statement timeout, and is all that is ever held in memory. */
const pageSize = 2000;

/** Reads pages with the caller's own rights. */
export function pagesOf(client: CallerClient, organizationId: string | null): ReadPage {
  return async (after, page_size) =>
    unwrap(
      await client.rpc("export_audit_log", {
        page_size,
        ...(organizationId === null ? {} : { organization_id: organizationId }),
        ...(after === null ? {} : { after }),
      }),
    ) as unknown as ExportPage;
}

/**
 * Begins an export. The first page is read at once, so that a refusal is an answer of its own; the
 * others follow as fast as the reader takes them. A failure on the way breaks the stream off.
 */
export async function startExport(readPage: ReadPage, options: ExportOptions): Promise<Export> {
  const { cursor, limit } = options;
  const first = await readPage(cursor, Math.min(limit, pageSize));
  const isWhole = first.next === null || limit <= pageSize;
  return {
    body: ReadableStream.from(chunks(readPage, first, options)),
    next: isWhole ? first.next : undefined,
  };
}

/** The headers of an export; `x-next-cursor` only where the cursor is known, empty at the end. */
export function exportHeaders(
  { contentType, extension }: ExportFormat,
  next: string | null | undefined,
): Record<string, string> {
  return {
    "content-type": contentType,
    "content-disposition": `attachment; filename="audit.${extension}"`,
    ...(next === undefined ? {} : { "x-next-cursor": next ?? "" }),
  };
}

async function* chunks(
  readPage: ReadPage,
  first: ExportPage,
  { format, organization_id, cursor: after, limit }: ExportOptions,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  const exported_at = new Date().toISOString();
  const { pruned } = first;
  yield encoder.encode(format.begin({ organization_id, after, exported_at, pruned }));
  let entries = 0;
  let page = first;
  let groupOf: number | null = null;
  for (;;) {
    const parts: string[] = [];
    for (const { entries: members, ...group } of page.groups) {
      // A group that a page ended in goes on in the next one.
      if (group.seal !== groupOf) parts.push(format.group(group));
      groupOf = group.seal;
      for (const [index, entry] of members.entries()) {
        const cursor = `${group.seal}:${group.first + index + 1}`;
        parts.push(format.entry(entry, cursor, entries === 0));
        entries += 1;
      }
    }
    if (page.proof) parts.push(format.proof(page.proof));
    yield encoder.encode(parts.join(""));
    if (page.next === null || entries >= limit) break;
    const next = await readPage(page.next, Math.min(limit - entries, pageSize));
    if (next.next === page.next) throw new Error(`export does not get past cursor ${page.next}`);
    page = next;
  }
  const { next, cursor } = page;
  yield encoder.encode(format.end({ entries, next, cursor: cursor ?? after }));
}
