import assert from "node:assert/strict";
import {
  lengthPrefixed,
  longId,
  shortId,
} from "../../../supabase/functions/_bulwark/encryption/bytes.ts";

Deno.test("lengthPrefixed() is another for every other list of texts", () => {
  const lists = [[], [""], [null], ["", ""], ["a", "b"], ["ab"], ["ab", ""], ["", "ab"], ["null"]];
  const seen = new Set(lists.map((list) => lengthPrefixed(...list).join()));
  assert.equal(seen.size, lists.length);
});

Deno.test("shortId() and longId() are each other's reverse", () => {
  const id = crypto.randomUUID();
  assert.equal(shortId(id).length, 22);
  assert.equal(longId(shortId(id)), id);
  assert.equal(longId("A".repeat(21)), null);
  assert.throws(() => shortId("not a uuid"), TypeError);
});
