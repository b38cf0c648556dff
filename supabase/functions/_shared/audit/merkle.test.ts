import assert from "node:assert/strict";
import { toHex } from "./encoding.ts";
import { isConsistent, leafHash, merkleRoot, nodeHash, rootOfInclusion } from "./merkle.ts";

/** The leaves of the Certificate Transparency reference tests, and the roots over the first of them. */
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

/** The definitions of RFC 6962, word for word: proofs made by them are what verification is for. */
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
  for (let to = 0; to <= 8; to++) {
    const tree = leaves.slice(0, to);
    const toRoot = await merkleRoot(tree);
    for (let from = 0; from <= to; from++) {
      const fromRoot = await merkleRoot(leaves.slice(0, from));
      const proof = from === 0 ? [] : await proofOf(from, tree);
      const holds = (path: Uint8Array[], old = fromRoot, present = toRoot) =>
        isConsistent(from, to, old, present, path);
      assert.equal(await holds(proof), true, `${from} to ${to}`);
      assert.equal(await holds([...proof, leaves[0]!]), false, `${from} to ${to}, longer`);
      assert.equal(await holds(proof, leaves[7]!), false, `${from} to ${to}, another old root`);
      if (from === 0) continue;
      assert.equal(await holds(proof, fromRoot, leaves[7]!), false, `${from} to ${to}, new root`);
      if (proof.length > 0) assert.equal(await holds(proof.slice(1)), false);
      const altered = proof.map((hash, at) => at === 0 ? leaves[7]! : hash);
      if (proof.length > 0) assert.equal(await holds(altered), false);
    }
  }
  assert.equal(await isConsistent(3, 2, leaves[0]!, leaves[0]!, []), false);
});
