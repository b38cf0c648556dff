import assert from "node:assert/strict";
import { BulwarkError } from "../../../supabase/functions/_bulwark/foundation/errors.ts";
import {
  readBackupCode,
  readCode,
  readEitherCode,
} from "../../../supabase/functions/_bulwark/mfa/codes.ts";

const refuses = (read: () => string, code: string) =>
  assert.throws(read, (thrown) => thrown instanceof BulwarkError && thrown.code === code);

Deno.test("readCode() takes spaces, hyphens, digits of every script and marks that nobody sees for what they mean", () => {
  for (
    const typed of [
      "012345",
      " 012 345 ",
      "012-345",
      "012\u00a0345",
      "０１２３４５",
      "０１２　３４５",
      "٠١٢٣٤٥",
      "۰۱۲۳۴۵",
      "०१२३४५",
      "০১২-৩৪৫",
      "𝟎𝟏𝟐𝟑𝟒𝟓",
      "\u{1e950}\u{1e951}\u{1e952}\u{1e953}\u{1e954}\u{1e955}",
      "\u202a012345\u202c",
      "\u2066012\u2069 \u200e345",
      "\u2060012\u00ad345\ufeff",
      "0\ufe0e1\u180e2\u{e0020}345",
      "012−345",
      "012ー345",
    ]
  ) {
    assert.equal(readCode(typed), "012345", typed);
  }
});

Deno.test("readCode() refuses letters, other digits and other lengths", () => {
  for (
    const typed of [
      "",
      "12345",
      "1234567",
      "12345a",
      "ｏ１２３４５",
      "-012345e1",
      "①②③④⑤⑥1",
      "012345\0",
      "1e5000",
    ]
  ) {
    refuses(() => readCode(typed), "MFA_INVALID_CODE");
  }
});

Deno.test("readBackupCode() takes any case, gaps, and letters that look like digits", () => {
  const code = "0123456789ABCDEFGHJKMNPQ";
  for (
    const typed of [
      "0123-4567-89AB-CDEF-GHJK-MNPQ",
      "o1234567 89ab cdef ghjk mnpq",
      "OI23–4567–89AB–CDEF–GHJK–MNPQ",
      "０l23456789abcdefghjkmnpq",
    ]
  ) {
    assert.equal(readBackupCode(typed), code, typed);
  }
});

Deno.test("readBackupCode() refuses what cannot be one", () => {
  for (
    const typed of ["", "0123", "U123-4567-89AB-CDEF-GHJK-MNPQ", "0".repeat(25), "0".repeat(23)]
  ) {
    refuses(() => readBackupCode(typed), "MFA_INVALID_BACKUP_CODE");
  }
});

Deno.test("readEitherCode() tells the two kinds apart, however many digits a backup code has", () => {
  const digits = "012345".repeat(4);
  for (const typed of ["012 345", "٠١٢٣٤٥", "\u202a012345\u202c"]) {
    assert.deepEqual(readEitherCode(typed), { totp: "012345" });
  }
  for (const code of [digits, "ABCDEFGHJKMNPQRSTVWXYZ01", "A1B2C3D4E5F6GGGGHHHHJJJJ"]) {
    assert.deepEqual(readEitherCode(code.match(/.{4}/g)!.join("-").toLowerCase()), {
      backup: code,
    });
  }
  for (const typed of ["", "12345", "1234567", "A".repeat(23), "U".repeat(24)]) {
    refuses(() => JSON.stringify(readEitherCode(typed)), "MFA_INVALID_CODE");
  }
});
