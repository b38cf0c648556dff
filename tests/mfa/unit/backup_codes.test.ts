import assert from "node:assert/strict";
import {
  hashBackupCode,
  makeBackupCodes,
} from "../../../supabase/functions/_bulwark/mfa/backup_codes.ts";
import { readBackupCode } from "../../../supabase/functions/_bulwark/mfa/codes.ts";

Deno.test("makeBackupCodes() makes ten of 120 bits, each of which can be read", () => {
  const codes = Array.from({ length: 20 }, makeBackupCodes).flat();
  assert.equal(makeBackupCodes().length, 10);
  assert.equal(new Set(codes).size, 200);
  for (const code of codes) {
    assert.match(code, /^([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}$/);
    assert.equal(readBackupCode(code), code.replaceAll("-", ""));
  }
  // Every symbol comes up: 4,800 draws of 32.
  assert.equal(new Set(codes.join("").replaceAll("-", "")).size, 32);
});

Deno.test("hashBackupCode() is HMAC-SHA-256: RFC 4231, test case 2", async () => {
  assert.equal(
    await hashBackupCode("Jefe", "what do ya want for nothing?"),
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  );
});
