import assert from "node:assert/strict";
import {
  fromBase64Url,
  lengthPrefixed,
  longId,
  shortId,
  toBase64Url,
} from "../../../supabase/functions/_bulwark/encryption/bytes.ts";

Deno.test("fromBase64Url() takes the one canonical spelling of bytes and nothing else", () => {
  for (let length = 0; length < 40; length++) {
    const bytes = crypto.getRandomValues(new Uint8Array(length));
    assert.deepEqual(fromBase64Url(toBase64Url(bytes)), bytes);
  }
  assert.deepEqual(fromBase64Url("-_8"), Uint8Array.of(251, 255));
  for (
    const text of [
      "A",
      "AB",
      "AAB",
      "+/8",
      "-_8=",
      "-_9",
      "AA==",
      "A A",
      "AAAA ",
      "\nAAAA",
      "AA*A",
      "AAAé",
    ]
  ) {
    assert.equal(fromBase64Url(text), null, JSON.stringify(text));
  }
});

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
