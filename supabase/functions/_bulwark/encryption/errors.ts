/**
 * Why something could not be encrypted or decrypted. For the log, never for a client: which check
 * failed tells an attacker how far a forgery got.
 *
 * - `malformed`: not of the format at all
 * - `unknown_version`, `unknown_algorithm`: of a format that this code does not know
 * - `truncated`, `extended`: shorter or longer than it says it is
 * - `unknown_key`: no data key has the id, or it is for another purpose
 * - `key_destroyed`: the data key is gone for good
 * - `wrong_organization`: the data key is another organization's
 * - `wrong_key`: the key is not the one that the value commits to
 * - `tampered`: altered, or moved to another row or column
 * - `unknown_key_encryption_key`: it wraps the data key and is not among the function's secrets
 * - `wrong_key_encryption_key`: a secret has the right id and another key
 * - `invalid_plaintext`: text that UTF-8 cannot hold, a lone surrogate
 */
export type EncryptionFault =
  | "malformed"
  | "unknown_version"
  | "unknown_algorithm"
  | "truncated"
  | "extended"
  | "unknown_key"
  | "key_destroyed"
  | "wrong_organization"
  | "wrong_key"
  | "tampered"
  | "unknown_key_encryption_key"
  | "wrong_key_encryption_key"
  | "invalid_plaintext";

/** A refusal of the encryption module. Its message holds names and ids, no value and no key. */
export class EncryptionError extends Error {
  override readonly name = "EncryptionError";

  constructor(readonly fault: EncryptionFault, about: string) {
    super(`${fault}: ${about}`);
  }
}

const aboutTheRow: readonly EncryptionFault[] = [
  "malformed",
  "unknown_version",
  "unknown_algorithm",
  "truncated",
  "extended",
  "unknown_key",
  "key_destroyed",
  "wrong_organization",
  "wrong_key",
  "tampered",
];

/** Whether what is wrong is the value, and not the keys that it was to be read with. */
export function isAboutTheRow({ fault }: EncryptionError): boolean {
  return aboutTheRow.includes(fault);
}
