import { createHash } from "node:crypto";
import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import { fromBase64 } from "./encoding.ts";
import type { ExportFormat } from "./formats.ts";
import type { Signer } from "./note.ts";
import { groupHash } from "./proof.ts";
import type { AuditEntry, AuditGroup, GroupProof } from "./records.ts";
import { type ExportStatement, signStatement } from "./statement.ts";

/** A page of an export, as the database returns it. */
export interface ExportPage {
  groups: (AuditGroup & { first: number; entries: AuditEntry[] })[];
  next: string | null;
  cursor: string | null;
  /** The seal through which entries of the organization were pruned; null: none were. */
  pruned: number | null;
  /** The organization's group before the first of the page; null if that is its first. */
  previous: AuditGroup | null;
  proof: GroupProof | null;
}

/** Source of an export. */
export interface ExportSource {
  /** Reads a page of at most so many entries after a cursor; `signed`: only what a checkpoint covers. */
  page(after: string | null, pageSize: number, signed: boolean): Promise<ExportPage>;
  /** The nodes that cover the entries of a group from one position to another, in base64. */
  nodes(seal: number, from: number, to: number): Promise<string[]>;
}

/** Options of an export. */
export interface ExportOptions {
  format: ExportFormat;
  organization_id: string | null;
  /** The cursor at which an earlier export stopped; null: the beginning. */
  cursor: string | null;
  /** Maximum number of entries. */
  limit: number;
  /** The keys that sign the statement at the end; without one the export is verified only in part. */
  signers: readonly Signer[];
  /** Whether the body breaks off with the error of a page that fails, instead of ending there. */
  isWhole?: boolean;
}

/** A started export. */
export interface Export {
  body: ReadableStream<Uint8Array>;
  /** The cursor for the next request if it is known before the body is sent, else undefined. */
  next: string | null | undefined;
}

/** More in one request would take longer than the hosted runtime allows. */
export const exportLimit = 50_000;

/** A page stays far below the statement timeout; two are in memory, of which one is written. */
const pageSize = 2000;

/** An organization's log, read with the caller's rights, for a purpose that is recorded. */
export function exportSource(
  client: CallerClient,
  organizationId: string | null,
  purpose: string | null = null,
): ExportSource {
  const organization = organizationId === null ? {} : { organization_id: organizationId };
  const recorded = purpose === null ? {} : { purpose };
  return {
    async page(after, page_size, signed) {
      const cursor = after === null ? {} : { after };
      const asked = { ...organization, ...recorded, ...cursor, page_size, signed };
      return unwrap(await client.rpc("export_audit_log", asked)) as unknown as ExportPage;
    },
    async nodes(seal, first, last) {
      const asked = { ...organization, seal, first, last };
      return unwrap(await client.rpc("audit_group_nodes", asked)) as unknown as string[];
    },
  };
}

/**
 * Starts an export. The first page is read at once, so that a refusal is a proper response; the
 * others follow as fast as the reader takes them, each asked for while the one before is written. If a later one fails, a format with an end ends
 * there and names the cursor that continues, so that the next request gets the error (unless it is to be
 * whole); the stream of any other format breaks off, so that it never looks complete.
 */
export async function startExport(source: ExportSource, options: ExportOptions): Promise<Export> {
  const { cursor, limit, format } = options;
  const first = await source.page(cursor, Math.min(limit, pageSize), format.proved !== null);
  const isWhole = first.next === null || limit <= pageSize;
  return {
    body: ReadableStream.from(chunks(source, first, options)),
    next: isWhole ? first.next : undefined,
  };
}

/** An export as a response; `x-next-cursor` only if the cursor is known, empty at the end. */
export async function respondWithExport(
  source: ExportSource,
  options: ExportOptions,
): Promise<Response> {
  const { body, next } = await startExport(source, options);
  const { contentType, extension } = options.format;
  const headers = {
    "content-type": contentType,
    "content-disposition": `attachment; filename="audit.${extension}"`,
    ...(next === undefined ? {} : { "x-next-cursor": next ?? "" }),
  };
  return new Response(body, { headers });
}

async function* chunks(
  source: ExportSource,
  first: ExportPage,
  options: ExportOptions,
): AsyncGenerator<Uint8Array> {
  const { format, organization_id, cursor: after, limit, signers, isWhole = false } = options;
  const encoder = new TextEncoder();
  const summary = new Summary();
  const exported_at = new Date().toISOString();
  const { pruned, previous } = first;
  const write = (...parts: string[]) => summary.add(encoder.encode(parts.join("")));
  yield write(format.begin({ organization_id, after, exported_at, pruned, previous }));
  let page = first;
  for (;;) {
    const left = limit - summary.entries - entriesOf(page);
    const following = page.next === null || left <= 0
      ? null
      : source.page(page.next, Math.min(left, pageSize), format.proved !== null);
    following?.catch(() => {}); // handled below, after this page is written
    const parts: string[] = [];
    for (const { entries: members, ...group } of page.groups) {
      // A group that was split by a page continues in the next one.
      if (group.seal !== summary.group?.seal) {
        const skipped = format.proved ? group.first : 0;
        const before = skipped > 0 ? await source.nodes(group.seal, 0, skipped) : [];
        parts.push(format.group({ ...group, before }));
      }
      summary.enter(group);
      for (const [index, entry] of members.entries()) {
        const cursor = `${group.seal}:${group.first + index + 1}`;
        parts.push(format.entry(entry, cursor, summary.entries === 0));
        summary.entries += 1;
      }
    }
    if (page.proof) parts.push(format.proof(page.proof));
    summary.proof = page.proof ?? summary.proof;
    yield write(...parts);
    if (!following) break;
    try {
      const next = await following;
      if (next.next === page.next) throw new Error(`export does not get past cursor ${page.next}`);
      page = next;
    } catch (thrown) {
      if (isWhole || !format.hasEnd) throw thrown;
      console.error(`An export ends early, at cursor ${page.next}:`, thrown);
      break;
    }
  }
  const { next } = page;
  const { entries, group } = summary;
  const cursor = page.cursor ?? after;
  const place = Number(cursor?.split(":")[1]);
  if (format.proved && group && next !== null && place < group.entry_count) {
    yield write(format.proved.rest(await source.nodes(group.seal, place, group.entry_count)));
  }
  yield write(format.end({ entries, next, cursor }));
  if (!format.proved) return;
  const stated = { organization: organization_id, after, cursor, isEnd: next === null };
  yield encoder.encode(format.proved.statement(await summary.signed(stated, signers)));
}

function entriesOf({ groups }: ExportPage): number {
  return groups.reduce((sum, { entries }) => sum + entries.length, 0);
}

/** Totals of an export so far, for the statement at its end. */
class Summary {
  entries = 0;
  group: AuditGroup | null = null;
  proof: GroupProof | null = null;
  #groups = 0;
  #bytes = 0;
  readonly #digest = createHash("sha256");

  add(bytes: Uint8Array): Uint8Array {
    this.#digest.update(bytes);
    this.#bytes += bytes.length;
    return bytes;
  }

  enter(group: AuditGroup): void {
    if (group.seal !== this.group?.seal) this.#groups += 1;
    this.group = group;
  }

  /** The signed statement about everything added; null without signers. */
  async signed(
    stated: Pick<ExportStatement, "organization" | "after" | "cursor" | "isEnd">,
    signers: readonly Signer[],
  ): Promise<string | null> {
    const [signer] = signers;
    if (!signer) return null;
    const { entries, group, proof } = this;
    const statement = {
      ...stated,
      origin: signer.name,
      entries,
      groups: this.#groups,
      lastGroup: group && await groupHash(group),
      tree: proof?.checkpoint
        ? { size: proof.tree_size, root: fromBase64(proof.tree_root, "tree_root", 32) }
        : null,
      bytes: this.#bytes,
      digest: fromBase64(this.#digest.digest("base64"), "digest", 32),
    };
    return await signStatement(statement, signers);
  }
}
