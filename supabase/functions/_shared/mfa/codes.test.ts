import assert from "node:assert/strict";
import { BulwarkError } from "../errors.ts";
import { readBackupCode, readCode } from "./codes.ts";

const refuses = (read: () => string, code: string) =>
  assert.throws(read, (thrown) => thrown instanceof BulwarkError && thrown.code === code);

Deno.test("readCode() takes spaces, hyphens and full-width digits for what they mean", () => {
  for (
    const typed of [
      "012345",
      " 012 345 ",
      "012-345",
      "012\u00a0345",
      "０１２３４５",
      "０１２　３４５",
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
      "٠١٢٣٤٥",
      "-012345e1",
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
