import { BulwarkError } from "../errors.ts";

/**
 * A code as people type or paste it, as six digits: spaces and hyphens go, full-width digits become
 * plain ones (NFKC).
 * @throws BulwarkError 400 MFA_INVALID_CODE for anything else, which costs no attempt
 */
export function readCode(input: string): string {
  const code = withoutGaps(input);
  if (!/^[0-9]{6}$/.test(code)) {
    throw new BulwarkError(400, "MFA_INVALID_CODE", "Cannot read code: it has six digits");
  }
  return code;
}

/**
 * A backup code as its alphabet writes it: case, spaces and hyphens do not matter, and letters that
 * the alphabet leaves out are the digits they look like.
 * @throws BulwarkError 400 MFA_INVALID_BACKUP_CODE for what cannot be one, which costs no attempt
 */
export function readBackupCode(input: string): string {
  const code = withoutGaps(input).toUpperCase().replaceAll("O", "0").replaceAll(/[IL]/g, "1");
  if (!/^[0-9A-HJKMNP-TV-Z]{24}$/.test(code)) {
    throw new BulwarkError(
      400,
      "MFA_INVALID_BACKUP_CODE",
      "Cannot read backup code: it has six groups of four letters or digits",
    );
  }
  return code;
}

/** Dashes of every kind, since word processors replace the plain one. */
function withoutGaps(input: string): string {
  return input.normalize("NFKC").replaceAll(/[\s\p{Pd}\u200b-\u200f\ufeff]/gu, "");
}
