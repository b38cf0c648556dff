import assert from "node:assert/strict";
import { merkleRoot, sha256 as webCrypto } from "../../supabase/functions/_bulwark/audit/merkle.ts";
import { toHex } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { sha256 } from "../../clients/js/src/audit/hashes.ts";
import { streamHash } from "../../clients/js/src/audit/sha256.ts";
import { GrowingTree } from "../../clients/js/src/audit/tree.ts";

Deno.test("sha256() is SHA-256 for every length around its blocks, as WebCrypto computes it", async () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.equal(toHex(sha256(new TextEncoder().encode("abc"))), abc);
  const bytes = crypto.getRandomValues(new Uint8Array(4096));
  for (const length of [...Array(300).keys(), 1000, 4095, 4096]) {
    const message = bytes.subarray(0, length);
    assert.equal(toHex(sha256(message)), toHex(await webCrypto(message)), `${length} bytes`);
  }
});

Deno.test("streamHash() is SHA-256 wherever the pieces end, also with two streams at once", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(700));
  const sizes = [0, 1, 7, 55, 56, 63, 64, 65, 119, 120, 128, 200];
  for (const first of sizes) {
    for (const second of sizes) {
      const [one, other] = [streamHash(), streamHash()];
      const ends = [0, first, first + second, first + second, 500, 700 - first];
      for (let index = 1; index < ends.length; index++) {
        one.update(bytes.subarray(ends[index - 1], ends[index]));
        other.update(bytes.subarray(index));
      }
      sha256(bytes);
      const expected = await webCrypto(bytes.subarray(0, 700 - first));
      assert.equal(toHex(one.digest()), toHex(expected), `${first}, ${second}`);
    }
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
