/**
 * A failure the user can act on. It is reported as its message alone, on one line, without a
 * stack trace; `code` is stable for tests and tools, `status` becomes the exit code.
 */
export class Failure extends Error {
  override readonly name = "Failure";

  constructor(readonly code: string, message: string, readonly status = 1) {
    super(message);
  }
}

/** The first line of whatever was thrown, for use inside a one-line message. */
export function reason(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return text.trim().split("\n")[0] ?? "";
}
