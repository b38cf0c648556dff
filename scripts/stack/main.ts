import { Failure } from "./failure.ts";

/**
 * Runs a command-line program: a Failure prints as one line and sets its exit code, anything else
 * is a defect and keeps its stack trace. `cleanup` runs once, whether the program ends by itself,
 * by SIGINT or SIGTERM, or because the process that started it is gone.
 */
export async function main(
  program: (signal: AbortSignal) => Promise<number | void>,
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

  try {
    exitCode = (await program(interrupted.signal)) ?? exitCode;
  } catch (thrown) {
    if (interrupted.signal.aborted) Deno.exit(exitCode);
    if (!(thrown instanceof Failure)) throw thrown;
    exitCode = thrown.status;
    try {
      console.error(thrown.message);
    } catch {
      // The output is closed; the exit code still reports the failure.
    }
  }
  Deno.exit(exitCode);
}

/** Resolves when the parent's end of our standard input closes: it has exited or was killed. */
async function endOfInput(): Promise<void> {
  for await (const _ of Deno.stdin.readable);
}
