/** A sample bundle for tests, and its verification after changes. */
import assert from "node:assert/strict";
import { parseVerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import type { Asked } from "../../clients/js/src/audit/bundle.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import { asBytes, type Line, makeSample, restated } from "./sample.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";

export const sample = await makeSample([3, 1, 5, 8]);
export const copy = () => structuredClone(sample.lines);

/**
 * Verifies lines with a statement made to fit them: the result also holds if the database lied to
 * the function that signs.
 */
export async function verify(
  lines: Line[],
  vkey = sample.vkey,
  asked: Asked = {},
  signer = sample.signer,
) {
  return await verifyBytes(asBytes(await restated(lines, signer)), vkey, asked);
}

/** Verifies bytes as they are. */
export async function verifyBytes(bytes: Uint8Array, vkey = sample.vkey, asked: Asked = {}) {
  const keys = [await parseVerifierKey(vkey)];
  return (await verifyBundle(pieces(bytes), { keys, reader: inline(), asked })).verdict;
}

/** The codes of what is not proved. */
export async function unprovedIn(lines: Line[], asked: Asked = {}): Promise<string[]> {
  const { findings, unproved } = await verify(lines, sample.vkey, asked);
  assert.deepEqual(findings, []);
  return unproved.map(({ code }) => code);
}

/** The bytes in two pieces. */
export async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes.slice(0, 700);
  yield bytes.slice(700);
}

export async function codesOf(lines: Line[]): Promise<string[]> {
  return (await verify(lines)).findings.map(({ code }) => code);
}

/** Gives every entry the leaf that was sealed at its position, as an export of an altered log does. */
export function withSealedLeaves(lines: Line[]): Line[] {
  const sealed = sample.lines;
  let at = 0;
  for (const line of lines) {
    if (line.type === "group") {
      at = sealed.findIndex(({ type, seal }) => type === "group" && seal === line.seal);
    }
    if (line.type !== "entry") continue;
    at += 1;
    if (sealed[at]?.type === "entry") line.leaf = sealed[at]!.leaf;
    else line.leaf = null;
  }
  return lines;
}

/** The group of a group line. */
export function groupOf({ type: _type, first: _first, before: _before, ...group }: Line): Line {
  return group;
}

/** The index of the nth entry line, from 0. */
export function entryAt(lines: Line[], nth: number): number {
  return lines.flatMap(({ type }, index) => type === "entry" ? [index] : [])[nth]!;
}
