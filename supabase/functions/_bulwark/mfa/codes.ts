import { BulwarkError } from "../foundation/errors.ts";

/** A code of an authenticator app, or a backup code. */
export type TypedCode = { totp: string } | { backup: string };

/**
 * Reads either kind of code as people type or paste it. One has six digits, the other 24 letters and
 * digits.
 * @throws BulwarkError 400 MFA_INVALID_CODE if it is neither, which costs no attempt
 */
export function readEitherCode(input: string): TypedCode {
  const typed = plain(input);
  if (totp.test(typed)) return { totp: typed };
  const backup = asAlphabet(typed);
  if (backupCode.test(backup)) return { backup };
  throw new BulwarkError(
    400,
    "MFA_INVALID_CODE",
    "Cannot read code: it has six digits, a backup code six groups of four letters or digits",
  );
}

/**
 * Reads a code as people type or paste it, as six digits: removes spaces, hyphens and invisible
 * characters, and converts digits of any script.
 * @throws BulwarkError 400 MFA_INVALID_CODE for anything else, which costs no attempt
 */
export function readCode(input: string): string {
  const code = plain(input);
  if (!totp.test(code)) {
    throw new BulwarkError(400, "MFA_INVALID_CODE", "Cannot read code: it has six digits");
  }
  return code;
}

/**
 * Reads a backup code: ignores case, spaces and hyphens, and replaces letters outside its alphabet by
 * the digits that they look like.
 * @throws BulwarkError 400 MFA_INVALID_BACKUP_CODE if it is none, which costs no attempt
 */
export function readBackupCode(input: string): string {
  const code = asAlphabet(plain(input));
  if (!backupCode.test(code)) {
    throw new BulwarkError(
      400,
      "MFA_INVALID_BACKUP_CODE",
      "Cannot read backup code: it has six groups of four letters or digits",
    );
  }
  return code;
}

const totp = /^[0-9]{6}$/;
const backupCode = /^[0-9A-HJKMNP-TV-Z]{24}$/;

function asAlphabet(code: string): string {
  return code.toUpperCase().replaceAll("O", "0").replaceAll(/[IL]/g, "1");
}

/**
 * Removes spaces, dashes of every kind (word processors and input methods replace the plain one) and
 * invisible characters, and converts digits to 0-9.
 */
function plain(input: string): string {
  return input.normalize("NFKC")
    .replaceAll(/[\s\p{Pd}\p{Default_Ignorable_Code_Point}\p{Cf}\u2212\u30fc]/gu, "")
    .replaceAll(/\p{Nd}/gu, (digit) => String(valueOf(digit)));
}

/** The value of a digit. Unicode lists the ten digits of a script in order, from zero. */
function valueOf(digit: string): number {
  const code = digit.codePointAt(0)!;
  let first = code;
  while (/^\p{Nd}$/u.test(String.fromCodePoint(first - 1))) first--;
  return (code - first) % 10;
}
