import { guarded } from "./connection.ts";
import { readEnvFile } from "./env_file.ts";
import { Failure, reason } from "./failure.ts";

/**
 * Runs a command-line program: whatever ends it prints as one line, never as a stack trace, and sets
 * its exit code. `BULWARK_DEBUG=1` shows where a defect is. The program's signal aborts at SIGINT or
 * SIGTERM, or when the process that started it is gone.
 * @param failed the exit code of failures that have no other
 */
export async function main(
  program: (signal: AbortSignal) => Promise<number | void>,
  { failed = 1 }: { failed?: number } = {},
): Promise<never> {
  const interrupted = new AbortController();
  let exitCode = 0;
  const interrupt = (status: number) => {
    if (interrupted.signal.aborted) return;
    exitCode = status;
    interrupted.abort(new Failure("INTERRUPTED", "Interrupted", status));
  };
  Deno.addSignalListener("SIGINT", () => interrupt(130));
  Deno.addSignalListener("SIGTERM", () => interrupt(143));
  Deno.addSignalListener("SIGHUP", () => interrupt(129));
  if (Deno.env.get("BULWARK_PARENT_PIPE")) void endOfInput().then(() => interrupt(143));
  onStray((thrown) => Deno.exit(report(thrown, failed)));

  try {
    readEnvFile();
    exitCode = (await program(interrupted.signal)) ?? exitCode;
  } catch (thrown) {
    if (interrupted.signal.aborted) Deno.exit(exitCode);
    exitCode = report(thrown, failed);
  }
  Deno.exit(exitCode);
}

/** Prints why a program ends, and returns its exit code. */
function report(thrown: unknown, failed: number): number {
  try {
    // A reader of our output that has gone has seen enough.
    if (!(thrown instanceof Deno.errors.BrokenPipe)) console.error(lineOf(thrown));
    if (Deno.env.get("BULWARK_DEBUG") && thrown instanceof Error) console.error(thrown.stack);
  } catch {
    // The output is closed; the exit code still reports the failure.
  }
  return Math.max(failed, thrown instanceof Failure ? thrown.status : 1);
}

function lineOf(thrown: unknown): string {
  if (thrown instanceof Failure) return thrown.message;
  if (isOutside(thrown)) return `Cannot go on: ${reason(thrown)}`;
  return `Cannot go on, and that is a defect: ${reason(thrown)}; BULWARK_DEBUG=1 shows where`;
}

/** Whether files, the network or a database failed, and not this program. */
function isOutside(thrown: unknown): boolean {
  if (Object.values(Deno.errors).some((kind) => thrown instanceof kind)) return true;
  if (thrown instanceof TypeError) return thrown.message.startsWith("error sending request");
  const { code } = (thrown ?? {}) as { code?: unknown };
  // An error code of the system, of the driver, or an SQLSTATE.
  return typeof code === "string" && /^(E[A-Z]+|CONNECT[A-Z_]+|[0-9A-Z]{5})$/.test(code);
}

/** Calls back for what is thrown and awaited by nobody, unless a guard of connections takes it. */
function onStray(end: (thrown: unknown) => void): void {
  const stray = (event: Event, thrown: unknown) => {
    event.preventDefault();
    queueMicrotask(() => guarded.has(event) || end(thrown));
  };
  globalThis.addEventListener("unhandledrejection", (event) => stray(event, event.reason));
  globalThis.addEventListener("error", (event) => stray(event, event.error));
}

/** Resolves when the parent's end of our standard input closes: it has exited or was killed. */
async function endOfInput(): Promise<void> {
  for await (const _ of Deno.stdin.readable);
}
