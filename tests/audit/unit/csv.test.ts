import assert from "node:assert/strict";
import { csvRecord } from "../../../supabase/functions/_bulwark/audit/csv.ts";

Deno.test("csvRecord() quotes as RFC 4180 says and ends in CR LF", () => {
  assert.equal(csvRecord(["a", 1, null, undefined, ""]), "a,1,,,\r\n");
  assert.equal(csvRecord(['say "no"', "a,b", "a\nb"]), '"say ""no""","a,b","a\nb"\r\n');
});

Deno.test("csvRecord() leaves no cell that a spreadsheet takes for a formula", () => {
  for (
    const start of ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
  ) {
    const [cell = ""] = csvRecord([`${start}cmd|' /C calc'!A0`]).split("\r\n");
    assert.match(cell, /^"?'/, JSON.stringify(start));
  }
  assert.equal(csvRecord(["a=1"]), "a=1\r\n");
});
