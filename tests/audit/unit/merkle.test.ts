import assert from "node:assert/strict";
import { toHex } from "../../../supabase/functions/_bulwark/foundation/bytes.ts";
import {
  isConsistent,
  leafHash,
  merkleRoot,
  nodeHash,
  rootOfInclusion,
} from "../../../supabase/functions/_bulwark/audit/merkle.ts";

/**
 * The leaves of the Certificate Transparency reference tests, and the roots over the first n of
 * them.
 */
const contents = [
  "",
  "00",
  "10",
  "2021",
  "3031",
  "40414243",
  "5051525354555657",
  "606162636465666768696a6b6c6d6e6f",
];
const roots = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const bytes = (hex: string) =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const leaves = await Promise.all(contents.map((content) => leafHash(bytes(content))));

const short = new Uint8Array(31);

/** Proofs by the recursive definitions of RFC 6962, as input for verification. */
const split = (size: number) => 2 ** Math.ceil(Math.log2(size) - 1);

async function pathTo(index: number, tree: Uint8Array[]): Promise<Uint8Array[]> {
  if (tree.length === 1) return [];
  const at = split(tree.length);
  const [left, right] = [tree.slice(0, at), tree.slice(at)];
  return index < at
    ? [...await pathTo(index, left), await merkleRoot(right)]
    : [...await pathTo(index - at, right), await merkleRoot(left)];
}

async function proofOf(size: number, tree: Uint8Array[], whole = true): Promise<Uint8Array[]> {
  if (size === tree.length) return whole ? [] : [await merkleRoot(tree)];
  const at = split(tree.length);
  const [left, right] = [tree.slice(0, at), tree.slice(at)];
  return size <= at
    ? [...await proofOf(size, left, whole), await merkleRoot(right)]
    : [...await proofOf(size - at, right, false), await merkleRoot(left)];
}

Deno.test("merkleRoot() gives the roots of RFC 6962 for the empty tree and 1 to 8 leaves", async () => {
  for (const [size, root] of roots.entries()) {
    assert.equal(toHex(await merkleRoot(leaves.slice(0, size))), root, `${size} leaves`);
  }
});

Deno.test("a leaf and a node of the same bytes have different hashes", async () => {
  const [one, other] = [leaves[0]!, leaves[1]!];
  const joined = Uint8Array.from([...one, ...other]);
  assert.notEqual(toHex(await leafHash(joined)), toHex(await nodeHash(one, other)));
});

Deno.test("rootOfInclusion() leads every leaf of every tree to its root, and to no other", async () => {
  for (let size = 1; size <= 8; size++) {
    const tree = leaves.slice(0, size);
    const root = toHex(await merkleRoot(tree));
    for (let index = 0; index < size; index++) {
      const path = await pathTo(index, tree);
      const lead = async (at: number, of: number, along: Uint8Array[], leaf = tree[index]!) => {
        const led = await rootOfInclusion(leaf, at, of, along);
        return led ? toHex(led) : null;
      };
      assert.equal(await lead(index, size, path), root, `leaf ${index} of ${size}`);
      assert.notEqual(await lead(index, size, path, leaves[(index + 1) % 8]), root);
      assert.notEqual(await lead(index, size, [...path, leaves[0]!]), root);
      if (path.length > 0) assert.notEqual(await lead(index, size, path.slice(1)), root);
      assert.equal(await lead(size, size, path), null);
      assert.equal(await lead(-1, size, path), null);
      assert.equal(await lead(0.5, size, path), null);
    }
  }
});

Deno.test("isConsistent() accepts every pair of sizes with its proof, and nothing else", async () => {
  for (let to = 1; to <= 8; to++) {
    const tree = leaves.slice(0, to);
    const toRoot = await merkleRoot(tree);
    for (let from = 1; from <= to; from++) {
      const fromRoot = await merkleRoot(leaves.slice(0, from));
      const proof = await proofOf(from, tree);
      const holds = (path: Uint8Array[], old = fromRoot, present = toRoot) =>
        isConsistent(from, to, old, present, path);
      assert.equal(await holds(proof), true, `${from} to ${to}`);
      assert.equal(await holds([...proof, leaves[0]!]), false, `${from} to ${to}, longer`);
      assert.equal(await holds([leaves[0]!, ...proof]), false, `${from} to ${to}, longer in front`);
      assert.equal(await holds(proof, leaves[7]!), false, `${from} to ${to}, another old root`);
      assert.equal(await holds(proof, fromRoot, leaves[7]!), false, `${from} to ${to}, new root`);
      if (from < to) assert.equal(await holds([]), false, `${from} to ${to}, without a proof`);
      if (proof.length > 0) assert.equal(await holds(proof.slice(1)), false);
      for (const place of proof.keys()) {
        assert.equal(
          await holds(proof.with(place, new Uint8Array(32))),
          false,
          `${from} to ${to}, altered`,
        );
        assert.equal(await holds(proof.with(place, short)), false, `${from} to ${to}, no hash`);
      }
    }
  }
});

Deno.test("isConsistent() refuses the empty tree, trees that shrink and sizes that are none", async () => {
  const empty = await merkleRoot([]);
  const one = leaves[0]!;
  const two = await merkleRoot(leaves.slice(0, 2));
  const cases: [number, number, Uint8Array, Uint8Array, Uint8Array[]][] = [
    [0, 0, empty, empty, []],
    [0, 1, empty, one, []],
    [0, 1, empty, one, [one]],
    [0, 2, one, two, []],
    [2, 1, two, one, []],
    [2, 1, two, one, [leaves[1]!]],
    [1, 0, one, empty, []],
    [-1, 1, one, one, []],
    [1, 1.5, one, one, []],
    [NaN, 1, one, one, []],
    [1, 2 ** 53, one, two, [leaves[1]!]],
    [1, 1, new Uint8Array(), new Uint8Array(), []],
    [1, 1, short, short, []],
    [1, 2, one, new Uint8Array(), [leaves[1]!]],
  ];
  for (const [from, to, ...rest] of cases) {
    assert.equal(await isConsistent(from, to, ...rest), false, `${from} to ${to}`);
  }
});

Deno.test("isConsistent() tells a power of two from its neighbour, also where floats are coarse", async () => {
  const [left, old, next] = leaves as [Uint8Array, Uint8Array, Uint8Array];
  for (const power of [4, 2 ** 31, 2 ** 49, 2 ** 52]) {
    const from = await nodeHash(left, old);
    const to = await nodeHash(left, await nodeHash(old, next));
    assert.ok(await isConsistent(power + 1, power + 2, from, to, [old, next, left]));
    assert.ok(await isConsistent(power, power + 1, left, await nodeHash(left, next), [next]));
  }
});

Deno.test("what is no hash of 32 bytes is no leaf, no node and no root", async () => {
  const long = new Uint8Array(33);
  for (const wrong of [new Uint8Array(), short, long]) {
    assert.equal(await rootOfInclusion(wrong, 0, 1, []), null);
    assert.equal(await rootOfInclusion(leaves[0]!, 0, 2, [wrong]), null);
    await assert.rejects(merkleRoot([wrong]), { name: "MalformedError" });
    await assert.rejects(merkleRoot([leaves[0]!, wrong]), { name: "MalformedError" });
  }
  for (const [index, size] of [[0, 0], [1, 0], [1, 1], [8, 7], [0, 2 ** 53]] as const) {
    assert.equal(await rootOfInclusion(leaves[0]!, index, size, []), null);
  }
});
