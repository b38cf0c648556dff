import { BulwarkError } from "../errors.ts";
import { EncryptionError } from "./errors.ts";

/**
 * Throws what a client is told: that a key is gone for good is said; everything else that is wrong
 * with a value is one answer, and the log has the difference.
 * @throws BulwarkError 410 ENCRYPTION_KEY_DESTROYED, 422 ENCRYPTION_FAILED, or what it was given
 */
export function asAnswer(
  thrown: unknown,
  correlationId: string,
  log: (line: string) => void = console.error,
): never {
  if (!(thrown instanceof EncryptionError)) throw thrown;
  log(`${correlationId} encryption: ${thrown.message}`);
  if (thrown.fault === "key_destroyed") {
    throw new BulwarkError(
      410,
      "ENCRYPTION_KEY_DESTROYED",
      "Cannot decrypt: the organization's keys were destroyed",
    );
  }
  throw new BulwarkError(
    422,
    "ENCRYPTION_FAILED",
    "Cannot encrypt or decrypt: a value is not one that was encrypted for its place",
  );
}
