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
  options: { signer?: Signer; change?: (entry: AuditEntry, index: number) => void } = {},
): Promise<Sample> {
  const signer = options.signer ?? await sampleSigner(1);
  const lines: Line[] = [{
    type: "bundle",
    version: 1,
    organization_id: organization,
    after: null,
    exported_at: "2026-11-22T18:00:00.000Z",
  }];
  const sealLeaves: Uint8Array[] = [];
  let previous = zeros;
  let previousSeal = zeros;
  let before = 0;
  let proof: Omit<GroupProof, "checkpoint" | "tree_size" | "tree_root" | "tree_path"> | null = null;
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
      snapshot: "10:20:10,11",
      hash: "",
    };
    const sealHash = await sha256(sealBytes(seal));
    seal.hash = toBase64(sealHash);
    sealLeaves.push(await leafHash(sealHash));
    lines.push({ type: "group", ...group });
    for (const entry of entries) lines.push({ type: "entry", ...entry });
    proof = { group, group_index: 0, group_count: 1, group_path: [], seal, tree_index: index };
    before += size;
    previous = toBase64(hash);
    previousSeal = seal.hash;
  }
  const root = await merkleRoot(sealLeaves);
  const checkpoint = { origin: signer.name, size: sizes.length, root };
  const note = await signNote(formatCheckpoint(checkpoint), [signer]);
  lines.push({
    type: "proof",
    ...proof,
    tree_size: sizes.length,
    tree_root: toBase64(root),
    tree_path: (await lastPath(sealLeaves)).map(toBase64),
    checkpoint: note,
  });
  lines.push({ type: "end", entries: before, next: null });
  return { organization, lines, vkey: await formatVerifierKey(signer), signer, note };
}

/** The lines as a file's bytes. */
export function asBytes(lines: Line[]): Uint8Array {
  return new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

/** The inclusion proof of the last leaf: the full subtrees to the left of it, from below. */
async function lastPath(leaves: Uint8Array[]): Promise<Uint8Array[]> {
  const path: Uint8Array[] = [];
  let end = leaves.length - 1;
  for (let width = 1; end > 0; width *= 2) {
    if (end % (2 * width) === 0) continue;
    path.push(await merkleRoot(leaves.slice(end - width, end)));
    end -= width;
  }
  return path;
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
    id: `01900000-0000-7000-8000-${hex}`,
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
