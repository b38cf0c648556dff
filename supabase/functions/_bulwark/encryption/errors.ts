import { BulwarkError } from "../foundation/errors.ts";

/**
 * Faults of encryption and decryption. For the log, never for a client: the failed check would tell
 * an attacker how far a forgery got.
 *
 * - `malformed`: not in this format
 * - `unknown_version`, `unknown_algorithm`: not supported by this code
 * - `truncated`, `extended`: shorter or longer than its length field says
 * - `unknown_key`: no data key has the id, or it has another purpose
 * - `key_destroyed`: the data key was destroyed
 * - `wrong_organization`: the data key belongs to another organization
 * - `wrong_key`: the value commits to another key
 * - `tampered`: altered, or moved to another row or column
 * - `unknown_key_encryption_key`: the wrapping key is not among the function's secrets
 * - `wrong_key_encryption_key`: a secret has the right id and another key
 * - `key_lost`: the key-encryption key was declared lost
 * - `invalid_plaintext`: text that UTF-8 cannot represent, a lone surrogate
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
  | "key_lost"
  | "invalid_plaintext";

/** An error of the encryption module. Its message contains names and ids, no value and no key. */
export class EncryptionError extends Error {
  override readonly name = "EncryptionError";

  /**
   * The error for a client. A key that is destroyed, lost or not set is reported as such; all other
   * faults of a value look the same.
   */
  readonly refusal: BulwarkError;

  constructor(readonly fault: EncryptionFault, about: string) {
    super(`${fault}: ${about}`);
    const [status, code, message] = refusals[fault] ?? [
      422,
      "ENCRYPTION_FAILED",
      "Cannot encrypt or decrypt: a value is not one that was encrypted for its place",
    ];
    this.refusal = new BulwarkError(status, code, message);
  }
}

const unavailable = "Cannot encrypt or decrypt: the function lacks a key-encryption key, or has " +
  "another under its id; its log names it";
const refusals: Partial<Record<EncryptionFault, [number, string, string]>> = {
  key_destroyed: [
    410,
    "ENCRYPTION_KEY_DESTROYED",
    "Cannot decrypt: the organization's keys were destroyed",
  ],
  key_lost: [410, "ENCRYPTION_KEY_LOST", "Cannot decrypt: the key-encryption key was lost"],
  unknown_key_encryption_key: [503, "ENCRYPTION_KEY_UNAVAILABLE", unavailable],
  wrong_key_encryption_key: [503, "ENCRYPTION_KEY_UNAVAILABLE", unavailable],
};

const aboutTheRow: readonly EncryptionFault[] = [
  "malformed",
  "unknown_version",
  "unknown_algorithm",
  "truncated",
  "extended",
  "unknown_key",
  "key_destroyed",
  "key_lost",
  "wrong_organization",
  "wrong_key",
  "tampered",
];

/** Whether the fault is in the value and not in the keys. */
export function isAboutTheRow({ fault }: EncryptionError): boolean {
  return aboutTheRow.includes(fault);
}
