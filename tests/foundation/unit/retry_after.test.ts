import assert from "node:assert/strict";
import { inRepository } from "../../../scripts/stack/paths.ts";
import { retryAfterSeconds } from "../../../supabase/functions/_bulwark/foundation/retry_after.ts";

const now = Date.parse("2026-11-29T12:00:00Z");
const read = (text: string | null) => retryAfterSeconds(text, 86_400, now);

Deno.test("retryAfterSeconds() reads a number and the three forms of a date", () => {
  for (
    const [text, seconds] of [
      ["0", 0],
      ["120", 120],
      [" 007 ", 7],
      ["Sun, 29 Nov 2026 12:01:00 GMT", 60],
      ["Sunday, 29-Nov-26 12:01:00 GMT", 60],
      ["Sun Nov 29 12:01:00 2026", 60],
      ["Tue Dec  1 11:00:00 2026", 86_400],
      ["Wednesday, 06-Nov-94 08:49:37 GMT", 0],
      ["Sun, 06 Nov 1994 08:49:37 GMT", 0],
      ["Sun Nov  6 08:49:37 1994", 0],
    ] as const
  ) assert.equal(read(text), seconds, text);
});

Deno.test("retryAfterSeconds() asks for no more than the maximum, and for nothing it cannot read", () => {
  for (
    const text of [
      "86401",
      "9".repeat(400),
      "Fri, 31 Dec 9999 23:59:59 GMT",
      "Sunday, 01-Jan-70 00:00:00 GMT",
    ]
  ) {
    assert.equal(read(text), 86_400, text);
  }
  for (
    const text of [
      null,
      "",
      "-1",
      "1.5",
      "1e3",
      "soon",
      "0x10",
      "Infinity",
      "NaN",
      "2026-11-30T00:00:00Z",
      "5, 10",
      "Sun, 99 Nov 2026 12:01:00 GMT",
      "Sun, 29 Nov 2026 12:01:00 PST",
      "Sun, 29 Nov 2026 99:01:00 GMT",
    ]
  ) assert.equal(read(text), 0, String(text));
});

Deno.test("the helper for programs reads Retry-After as functions do", async () => {
  const file = (path: string) => Deno.readTextFile(inRepository(path));
  const parser = (await file("supabase/functions/_bulwark/foundation/retry_after.ts"))
    .replace("export function", "function");
  assert.ok((await file("clients/js/src/api_key.ts")).endsWith(parser));
});
