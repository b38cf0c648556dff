/** A refusal of the command: a stable code, one sentence for people, and the exit code. */
export class CliError extends Error {
  override readonly name = "CliError";

  constructor(readonly code: string, message: string, readonly exitCode = 1) {
    super(message);
  }
}

/** The first line of anything that was thrown. */
export function reason(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return text.trim().split("\n")[0] ?? "";
}
