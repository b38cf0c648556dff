import assert from "node:assert/strict";
import {
  fromBase64,
  fromBase64Url,
  fromUtf8,
  toBase64,
  toBase64Url,
  utf8,
} from "../../../supabase/functions/_bulwark/foundation/bytes.ts";

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

Deno.test("fromBase64() takes the one canonical spelling of bytes and nothing else", () => {
  for (let length = 0; length < 40; length++) {
    const bytes = crypto.getRandomValues(new Uint8Array(length));
    assert.equal(toBase64(bytes), btoa(String.fromCharCode(...bytes)));
    assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
  }
  for (const text of ["A", "AA", "AAA", "-_8=", "+/9=", "+/8", "AA= =", "AAAA ", "AA*A", "AAAé"]) {
    assert.equal(fromBase64(text), null, JSON.stringify(text));
  }
});

Deno.test("fromUtf8() gives back every text, and refuses bytes that are none", () => {
  for (
    const text of ["", "plain", "\ufeffmark", "日本語 😀", "\ufffd", "a\ufffdb", "x".repeat(70_000)]
  ) {
    assert.equal(fromUtf8(utf8(text)), text);
  }
  for (const bytes of [[255], [65, 192, 128], [237, 160, 128], [240, 159], [239, 191, 189, 255]]) {
    assert.throws(() => fromUtf8(Uint8Array.from(bytes)), TypeError);
  }
});
