/** Logs made up for tests, sealed and signed with the functions of `_shared/audit`, not ours. */
import { sealBytes, timeText } from "../../supabase/functions/_shared/audit/bytes.ts";
import { toBase64 } from "../../supabase/functions/_shared/audit/encoding.ts";
import { readSigningKeys } from "../../supabase/functions/_shared/audit/keys.ts";
import { leafHash, merkleRoot, sha256 } from "../../supabase/functions/_shared/audit/merkle.ts";
import {
  formatCheckpoint,
  formatVerifierKey,
  type Signer,
  signNote,
} from "../../supabase/functions/_shared/audit/note.ts";
import { entryLeaf, groupHash } from "../../supabase/functions/_shared/audit/proof.ts";
import type {
  AuditEntry,
  AuditGroup,
  AuditSeal,
  GroupProof,
} from "../../supabase/functions/_shared/audit/records.ts";

/** A line of a bundle, as the object it is. */
export type Line = Record<string, unknown>;

/** A made-up log: the lines of its export, and what verifies it. */
export interface Sample {
  organization: string;
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

/** A log of seals with so many entries each; the last seal is covered by a checkpoint. */
export async function makeSample(
  sizes: number[],
  options: {
    signer?: Signer;
    change?: (entry: AuditEntry, index: number) => void;
    /** Whether every seal has a proof, as every page of an export has, and not the last alone. */
    proofs?: boolean;
  } = {},
): Promise<Sample> {
  const signer = options.signer ?? await sampleSigner(1);
  const lines: Line[] = [{
    type: "bundle",
    version: 1,
    organization_id: organization,
    after: null,
    exported_at: "2026-11-22T18:00:00.000Z",
    pruned: null,
  }];
  const sealLeaves: Uint8Array[] = [];
  let previous = zeros;
  let previousSeal = zeros;
  let before = 0;
  const proofs: Omit<GroupProof, "checkpoint" | "tree_size" | "tree_root" | "tree_path">[] = [];
  for (const [index, size] of sizes.entries()) {
    const entries = Array.from({ length: size }, (_, place) => makeEntry(before + place));
    entries.forEach((entry, place) => options.change?.(entry, before + place));
    const leaves = await Promise.all(entries.map(entryLeaf));
    entries.forEach((entry, place) => entry.leaf = toBase64(leaves[place]!));
    const group: AuditGroup = {
      organization_id: organization,
      seal: index + 1,
      entry_count: size,
      entries_before: before,
      previous,
      root: toBase64(await merkleRoot(leaves)),
    };
    const hash = await groupHash(group);
    const seal: AuditSeal = {
      number: index + 1,
      previous_hash: previousSeal,
      root: toBase64(hash),
      era: 1,
      sealed_at: timeText(entries.at(-1)!.occurred_at_us),
      sealed_at_us: entries.at(-1)!.occurred_at_us,
      snapshot: `${1000 + before + size}:${1000 + before + size}:`,
      hash: "",
    };
    const sealHash = await sha256(sealBytes(seal));
    seal.hash = toBase64(sealHash);
    sealLeaves.push(await leafHash(sealHash));
    lines.push({ type: "group", ...group });
    for (const entry of entries) lines.push({ type: "entry", ...entry });
    proofs.push({
      group,
      group_index: 0,
      group_count: 1,
      group_path: [],
      seal,
      tree_index: index,
    });
    lines.push({ type: "proof", seal: index + 1 });
    before += size;
    previous = toBase64(hash);
    previousSeal = seal.hash;
  }
  const root = await merkleRoot(sealLeaves);
  const checkpoint = { origin: signer.name, size: sizes.length, root };
  const note = await signNote(formatCheckpoint(checkpoint), [signer]);
  for (const [index, proof] of proofs.entries()) {
    const at = lines.findIndex(({ type, seal }) => type === "proof" && seal === index + 1);
    const isWanted = options.proofs || index === sizes.length - 1;
    const whole = {
      type: "proof",
      ...proof,
      tree_size: sizes.length,
      tree_root: toBase64(root),
      tree_path: (await pathOf(sealLeaves, index)).map(toBase64),
      checkpoint: note,
    };
    lines.splice(at, 1, ...isWanted ? [whole] : []);
  }
  lines.push({ type: "end", entries: before, next: null });
  return { organization, lines, vkey: await formatVerifierKey(signer), signer, note };
}

/** The lines as a file's bytes. */
export function asBytes(lines: Line[]): Uint8Array {
  return new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

/** The inclusion proof of a leaf, from below (RFC 9162 2.1.3.1). */
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

function makeEntry(index: number): AuditEntry {
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
    organization_id: organization,
    era: 1,
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
