/**
 * Merkle trees as in Certificate Transparency: RFC 6962, section 2.1, and the verification of its
 * proofs by RFC 9162, sections 2.1.3.2 and 2.1.4.2. Hashes are SHA-256, 32 bytes.
 */
import { concat, sameBytes } from "../foundation/bytes.ts";
import { MalformedError } from "./encoding.ts";

/** SHA-256 (FIPS 180-4). */
export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource));
}

/** The hash of a leaf's content. */
export function leafHash(content: Uint8Array): Promise<Uint8Array> {
  return sha256(concat(Uint8Array.of(0), content));
}

/** The hash of an inner node. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Promise<Uint8Array> {
  return sha256(concat(Uint8Array.of(1), left, right));
}

/**
 * The tree head over leaf hashes.
 * @throws MalformedError if one of them is not a hash
 */
export async function merkleRoot(leaves: readonly Uint8Array[]): Promise<Uint8Array> {
  if (!leaves.every(isHash)) throw new MalformedError("a leaf is not a hash of 32 bytes");
  if (leaves.length === 0) return sha256(new Uint8Array());
  let level = leaves;
  // Pairing level by level, with an odd last node carried up, gives the same tree as splitting at
  // the largest power of two.
  while (level.length > 1) {
    const above: Promise<Uint8Array>[] = [];
    for (let index = 0; index < level.length; index += 2) {
      const [left, right] = level.slice(index, index + 2) as [Uint8Array, Uint8Array?];
      above.push(right ? nodeHash(left, right) : Promise.resolve(left));
    }
    level = await Promise.all(above);
  }
  return level[0]!;
}

/**
 * The root that an inclusion proof leads to, from a leaf hash at `index` (from 0) in a tree of
 * `size` leaves; null if the path does not have the length that index and size require, or contains
 * something that is not a hash.
 */
export async function rootOfInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
): Promise<Uint8Array | null> {
  if (!isIndex(index) || !isIndex(size) || index >= size) return null;
  if (!isHash(leaf) || !path.every(isHash)) return null;
  let node = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of path) {
    if (last === 0) return null;
    if (node % 2 === 1 || node === last) {
      hash = await nodeHash(sibling, hash);
      // A last node without a sibling is carried up unchanged.
      while (node % 2 === 0 && node !== 0) {
        node /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      hash = await nodeHash(hash, sibling);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? hash : null;
}

/**
 * Whether the tree of `toSize` leaves and `toRoot` extends that of `fromSize` and `fromRoot`. False
 * from size 0: every tree extends the empty one, and RFC 9162 defines proofs only for 0 < from.
 */
export async function isConsistent(
  fromSize: number,
  toSize: number,
  fromRoot: Uint8Array,
  toRoot: Uint8Array,
  path: readonly Uint8Array[],
): Promise<boolean> {
  if (!isIndex(fromSize) || !isIndex(toSize) || fromSize === 0 || fromSize > toSize) return false;
  if (![fromRoot, toRoot, ...path].every(isHash)) return false;
  if (fromSize === toSize) return path.length === 0 && sameBytes(fromRoot, toRoot);
  if (path.length === 0) return false;
  // If the old size is a power of two, the old tree is a node of the new one, and the proof omits
  // it.
  const [seed, ...rest] = isPowerOfTwo(fromSize) ? [fromRoot, ...path] : path;
  if (!seed) return false;
  let node = fromSize - 1;
  let last = toSize - 1;
  while (node % 2 === 1) {
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  let old = seed;
  let present = seed;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      old = await nodeHash(sibling, old);
      present = await nodeHash(sibling, present);
      while (node % 2 === 0 && node !== 0) {
        node /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      present = await nodeHash(present, sibling);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && sameBytes(old, fromRoot) && sameBytes(present, toRoot);
}

function isIndex(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isHash(value: Uint8Array): boolean {
  return value instanceof Uint8Array && value.length === 32;
}

function isPowerOfTwo(value: number): boolean {
  // A logarithm alone is not exact above 2^48.
  return 2 ** Math.round(Math.log2(value)) === value;
}
