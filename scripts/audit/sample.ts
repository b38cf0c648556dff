/** Logs made up for tests, sealed and signed with the functions of `_bulwark/audit`. */
import { sealBytes, timeText } from "../../supabase/functions/_bulwark/audit/bytes.ts";
import { toBase64 } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { fromBase64 } from "../../supabase/functions/_bulwark/audit/encoding.ts";
import {
  exportLimit,
  type ExportPage,
  type ExportSource,
  startExport,
} from "../../supabase/functions/_bulwark/audit/export.ts";
import { exportFormat } from "../../supabase/functions/_bulwark/audit/formats.ts";
import { readSigningKeys } from "../../supabase/functions/_bulwark/audit/keys.ts";
import { leafHash, merkleRoot, sha256 } from "../../supabase/functions/_bulwark/audit/merkle.ts";
import {
  formatCheckpoint,
  formatVerifierKey,
  type Signer,
  signNote,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import { entryLeaf, groupHash } from "../../supabase/functions/_bulwark/audit/proof.ts";
import type {
  AuditEntry,
  AuditGroup,
  AuditSeal,
  GroupProof,
} from "../../supabase/functions/_bulwark/audit/records.ts";
import {
  type ExportStatement,
  signStatement,
} from "../../supabase/functions/_bulwark/audit/statement.ts";

/** A line of a bundle, as an object. */
export type Line = Record<string, unknown>;

/** A made-up log: the lines of its export, and the keys that verify it. */
export interface Sample {
  organization: string;
  log: SampleLog;
  lines: Line[];
  vkey: string;
  signer: Signer;
  note: string;
}

export const organization = "0b8f6a52-6f5e-4c39-9a43-0f4c5d8d2f10";
export const otherOrganization = "c1d2e3f4-0000-4000-8000-00000000000b";
const zeros = toBase64(new Uint8Array(32));

/** The signer of a log whose seed is 32 times the same byte. */
export async function sampleSigner(byte: number, name = "sample.test/audit"): Promise<Signer> {
  const [signer] = await readSigningKeys(toBase64(new Uint8Array(32).fill(byte)), name);
  return signer!;
}

/** The entries of one organization in one seal, as the log stores them. */
interface StoredGroup {
  group: AuditGroup;
  hash: Uint8Array;
  position: number;
  entries: AuditEntry[];
  leaves: Uint8Array[];
}

/** A log in memory that seals, signs, prunes and exports like the database. */
export class SampleLog {
  readonly seals: { seal: AuditSeal; groups: StoredGroup[]; leaf: Uint8Array }[] = [];
  note: string | null = null;
  #size = 0;
  #prunedThrough = 0;
  #made = 0;

  constructor(readonly signer: Signer) {}

  /** New entries, not sealed yet. */
  entries(count: number, organization_id: string | null): AuditEntry[] {
    return Array.from({ length: count }, () => makeEntry(this.#made++, organization_id));
  }

  /** Seals entries, each list those of one organization. */
  async seal(...lists: AuditEntry[][]): Promise<void> {
    const number = this.seals.length + 1;
    const groups: StoredGroup[] = [];
    for (const [position, entries] of lists.entries()) {
      const organization_id = entries[0]!.organization_id;
      const before = this.#groupsOf(organization_id).at(-1);
      const leaves = await Promise.all(entries.map(entryLeaf));
      entries.forEach((entry, place) => entry.leaf = toBase64(leaves[place]!));
      const group: AuditGroup = {
        organization_id,
        seal: number,
        entry_count: entries.length,
        entries_before: before ? before.group.entries_before + before.group.entry_count : 0,
        previous: before ? toBase64(before.hash) : zeros,
        root: toBase64(await merkleRoot(leaves)),
      };
      groups.push({ group, hash: await groupHash(group), position, entries, leaves });
    }
    const last = lists.flat().at(-1)!;
    const next = Math.max(...lists.flat().map(({ xid }) => Number(xid)), 999 + this.#made) + 1;
    const seal: AuditSeal = {
      number,
      previous_hash: this.seals.at(-1)?.seal.hash ?? zeros,
      root: toBase64(await merkleRoot(groups.map(({ hash }) => hash))),
      timeline: 1,
      sealed_at: last.occurred_at,
      sealed_at_us: last.occurred_at_us,
      snapshot: `${next}:${next}:`,
      // Every other seal is one that the next continues.
      through: number % 2 === 0 ? toBase64(await sha256(new Uint8Array([number]))) : null,
      hash: "",
    };
    const hash = await sha256(sealBytes(seal));
    seal.hash = toBase64(hash);
    this.seals.push({ seal, groups, leaf: await leafHash(hash) });
  }

  /** Signs the head over all seals. */
  async sign(): Promise<void> {
    this.#size = this.seals.length;
    const root = await merkleRoot(this.seals.map(({ leaf }) => leaf));
    const checkpoint = { origin: this.signer.name, size: this.#size, root };
    this.note = await signNote(formatCheckpoint(checkpoint), [this.signer]);
  }

  prune(throughSeal: number): void {
    this.#prunedThrough = throughSeal;
  }

  /**
   * An organization's log as the function `bulwark-audit` reads it; a page has at most so many
   * seals.
   */
  source(organization_id: string | null, sealsPerPage = Infinity): ExportSource {
    const groups = () => this.#groupsOf(organization_id);
    return {
      nodes: (seal, from, to) => {
        const { leaves } = groups().find(({ group }) => group.seal === seal)!;
        return nodesOf(leaves, from, to);
      },
      page: async (after, pageSize, signed) => {
        const [seal, place] = (after ?? "0:0").split(":").map(Number) as [number, number];
        const through = signed && this.note ? this.#size : Infinity;
        const due = groups().filter(({ group }) =>
          group.seal > this.#prunedThrough && group.seal <= through &&
          (group.seal > seal || group.seal === seal && group.entry_count > place)
        );
        const page: ExportPage = {
          groups: [],
          next: null,
          cursor: after,
          pruned: this.#pruned(organization_id),
          previous: due[0] ? this.#groupBefore(organization_id, due[0].group.seal) : null,
          proof: null,
        };
        let left = pageSize;
        for (const { group, entries } of due) {
          if (left === 0 || page.groups.length === sealsPerPage) {
            page.next = page.cursor;
            break;
          }
          const first = group.seal === seal ? place : 0;
          const members = entries.slice(first, first + left);
          page.groups.push({ ...group, first, entries: members });
          left -= members.length;
          const isWhole = first + members.length >= group.entry_count || left > 0;
          page.cursor = `${group.seal}:${isWhole ? group.entry_count : first + members.length}`;
          if (isWhole) continue;
          page.next = page.cursor;
          break;
        }
        const last = page.groups.at(-1);
        if (last) page.proof = await this.#proofOf(last.seal, organization_id);
        return page;
      },
    };
  }

  #groupsOf(organization_id: string | null): StoredGroup[] {
    return this.seals.flatMap(({ groups }) =>
      groups.filter(({ group }) => group.organization_id === organization_id)
    );
  }

  #pruned(organization_id: string | null): number | null {
    return this.#groupBefore(organization_id, this.#prunedThrough + 1) && this.#prunedThrough;
  }

  #groupBefore(organization_id: string | null, seal: number): AuditGroup | null {
    return this.#groupsOf(organization_id).findLast(({ group }) => group.seal < seal)?.group ??
      null;
  }

  async #proofOf(number: number, organization_id: string | null): Promise<GroupProof | null> {
    const { seal, groups } = this.seals[number - 1]!;
    const { group, position } = groups.find(({ group }) =>
      group.organization_id === organization_id
    )!;
    const isSigned = this.note !== null && number <= this.#size;
    if (this.note !== null && !isSigned) return null;
    const size = isSigned ? this.#size : this.seals.length;
    const leaves = this.seals.slice(0, size).map(({ leaf }) => leaf);
    const path = await pathOf(groups.map(({ hash }) => hash), position);
    return {
      group,
      group_index: position,
      group_count: groups.length,
      group_path: path.map(toBase64),
      seal,
      tree_index: number - 1,
      tree_size: size,
      tree_root: toBase64(await merkleRoot(leaves)),
      tree_path: (await pathOf(leaves, number - 1)).map(toBase64),
      checkpoint: isSigned ? this.note : null,
    };
  }
}

/** A log of seals with so many entries each, signed and exported. */
export async function makeSample(
  sizes: number[],
  options: {
    signer?: Signer;
    change?: (entry: AuditEntry, index: number) => void;
    /** Whether every seal has a proof, like every page of an export, or only the last. */
    proofs?: boolean;
  } = {},
): Promise<Sample> {
  const signer = options.signer ?? await sampleSigner(1);
  const log = new SampleLog(signer);
  let index = 0;
  for (const size of sizes) {
    const entries = log.entries(size, organization);
    for (const entry of entries) options.change?.(entry, index++);
    await log.seal(entries);
  }
  await log.sign();
  const lines = await exported(log, organization, { sealsPerPage: options.proofs ? 1 : Infinity });
  const vkey = await formatVerifierKey(signer);
  return { organization, log, lines, vkey, signer, note: log.note! };
}

/** The lines of a bundle, made as the function `bulwark-audit` makes it. */
export async function exported(
  log: SampleLog,
  organization_id: string | null,
  { after = null, limit = exportLimit, sealsPerPage = Infinity, signers = [log.signer] }: {
    after?: string | null;
    limit?: number;
    sealsPerPage?: number;
    signers?: Signer[];
  } = {},
): Promise<Line[]> {
  const { body } = await startExport(log.source(organization_id, sealsPerPage), {
    format: exportFormat("ndjson"),
    organization_id,
    cursor: after,
    limit,
    signers,
  });
  return asLines(await new Response(body).text());
}

/**
 * The lines with statements that fit them, since the function signs whatever the database returns:
 * only sealed hashes reveal such an alteration.
 */
export async function restated(lines: Line[], signer: Signer): Promise<Line[]> {
  const made: Line[] = [];
  let from = 0;
  for (const [index, line] of lines.entries()) {
    made.push(line);
    if (line.type !== "statement") continue;
    const bundle = lines.slice(from, index);
    from = index + 1;
    made[index] = {
      type: "statement",
      note: await signStatement(await describe(bundle, signer), [
        signer,
      ]),
    };
  }
  return made;
}

async function describe(bundle: Line[], signer: Signer): Promise<ExportStatement> {
  const of = (type: string) => bundle.filter((line) => line.type === type);
  const [header, end] = [of("bundle")[0] ?? {}, of("end").at(-1) ?? {}];
  const last = of("group").at(-1) as AuditGroup | undefined;
  const proof = of("proof").at(-1) as GroupProof | undefined;
  const bytes = asBytes(bundle);
  return {
    origin: signer.name,
    organization: (header.organization_id ?? null) as string | null,
    after: (header.after ?? null) as string | null,
    cursor: (end.cursor ?? null) as string | null,
    isEnd: (end.next ?? null) === null,
    entries: of("entry").length,
    groups: of("group").length,
    lastGroup: last ? await orNull(() => groupHash(last)) : null,
    tree: proof?.checkpoint
      ? await orNull(() => ({
        size: proof.tree_size,
        root: fromBase64(proof.tree_root, "tree_root", 32),
      }))
      : null,
    bytes: bytes.length,
    digest: await sha256(bytes),
  };
}

/** The result of a function, or null if it throws. */
async function orNull<Value>(make: () => Value | Promise<Value>): Promise<Value | null> {
  try {
    return await make();
  } catch {
    return null;
  }
}

/** The lines as a file's bytes. */
export function asBytes(lines: Line[]): Uint8Array {
  return new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

/** A file's text as its lines. */
export function asLines(text: string): Line[] {
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** The nodes that cover some leaves: the roots of the fewest full subtrees (RFC 6962 2.1). */
async function nodesOf(leaves: Uint8Array[], from: number, to: number): Promise<string[]> {
  const nodes: string[] = [];
  for (let at = from; at < to;) {
    let width = 1;
    while (at % (2 * width) === 0 && at + 2 * width <= to) width *= 2;
    nodes.push(toBase64(await merkleRoot(leaves.slice(at, at + width))));
    at += width;
  }
  return nodes;
}

/** The inclusion proof of a leaf, bottom-up (RFC 9162 2.1.3.1). */
async function pathOf(leaves: Uint8Array[], index: number): Promise<Uint8Array[]> {
  if (leaves.length < 2) return [];
  const split = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1);
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
  return index < split
    ? [...await pathOf(left, index), await merkleRoot(right)]
    : [...await pathOf(right, index - split), await merkleRoot(left)];
}

/** A UUID of version 7: so many microseconds after 2000, and an end. */
export function idAt(micros: number, end: string): string {
  const milliseconds = Math.floor(micros / 1000) + 946684800000;
  const hex = milliseconds.toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${end}`;
}

function makeEntry(index: number, organization_id: string | null): AuditEntry {
  const hex = index.toString(16).padStart(12, "0");
  const micros = 848772000000000 + index * 1000;
  const payload = {
    actor_type: "user",
    actor_id: `aaaaaaaa-0000-4000-8000-${hex}`,
    database_user: "authenticator",
    session_id: `bbbbbbbb-0000-4000-8000-${hex}`,
    ip: "192.0.2.7",
    user_agent: "Mozilla/5.0 (X11; Linux x86_64)",
    resource_id: String(index),
    action: "update",
    correlation_id: `cccccccc-0000-4000-8000-${hex}`,
    before: { amount: index },
    after: { amount: index + 1, note: "größer" },
  };
  return {
    id: idAt(micros, hex),
    organization_id,
    timeline: 1,
    xid: String(1000 + index),
    occurred_at: timeText(micros),
    occurred_at_us: micros,
    source: "table",
    severity: "info",
    result: "success",
    event_type: "data.update",
    resource_type: "public.invoices",
    salt: `dddddddd-0000-4000-8000-${hex}`,
    payload: JSON.stringify(payload),
  };
}
