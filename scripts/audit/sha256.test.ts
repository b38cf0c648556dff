import assert from "node:assert/strict";
import { merkleRoot, sha256 as webCrypto } from "../../supabase/functions/_bulwark/audit/merkle.ts";
import { toHex } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { sha256 } from "./hashes.ts";
import { GrowingTree } from "./tree.ts";

Deno.test("sha256() is SHA-256 for every length around its blocks, as WebCrypto computes it", async () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.equal(toHex(sha256(new TextEncoder().encode("abc"))), abc);
  const bytes = crypto.getRandomValues(new Uint8Array(4096));
  for (const length of [...Array(300).keys(), 1000, 4095, 4096]) {
    const message = bytes.subarray(0, length);
    assert.equal(toHex(sha256(message)), toHex(await webCrypto(message)), `${length} bytes`);
  }
});

Deno.test("GrowingTree has the root of RFC 6962 for every size, and can be used again", async () => {
  const leaves = await Promise.all(
    Array.from({ length: 70 }, (_, index) => webCrypto(Uint8Array.of(index))),
  );
  const tree = new GrowingTree();
  for (let size = 0; size <= leaves.length; size++) {
    tree.clear();
    for (const leaf of leaves.slice(0, size)) tree.append(leaf);
    assert.equal(toHex(tree.root()), toHex(await merkleRoot(leaves.slice(0, size))), `${size}`);
    assert.equal(tree.size, size);
  }
});
