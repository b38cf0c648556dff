/** A progress line on standard error, at most once a second. */
export function progressLine(
  write: (text: string) => void = writeToStderr,
  now: () => number = () => performance.now(),
): { update(text: string): void; end(): void } {
  let last = now();
  let shown = 0;
  return {
    update(text) {
      if (now() - last < 1000) return;
      last = now();
      write(`\r${text.padEnd(shown)}`);
      shown = text.length;
    },
    end() {
      if (shown > 0) write(`\r${" ".repeat(shown)}\r`);
    },
  };
}

function writeToStderr(text: string): void {
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  } catch {
    // A closed standard error must not stop the task.
  }
}
