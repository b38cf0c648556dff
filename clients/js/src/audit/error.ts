/**
 * Why nothing can be said about a file: it is no bundle, is damaged, the arguments do not fit it, or
 * the runtime has no Ed25519.
 */
export type VerificationCode =
  | "NOT_A_BUNDLE"
  | "MALFORMED_BUNDLE"
  | "BUNDLE_CUT"
  | "LINE_TOO_LONG"
  | "WRONG_KEY"
  | "BAD_KEY"
  | "BAD_CHECKPOINT"
  | "BAD_PROOF"
  | "BAD_OPTIONS"
  | "NOT_SUPPORTED";

/** The verification could not be finished. It says nothing about the log. */
export class VerificationError extends Error {
  override readonly name = "VerificationError";

  constructor(readonly code: VerificationCode, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
