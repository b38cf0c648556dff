import { root } from "../stack/paths.ts";
import { failed, type TestResult } from "../testing/result.ts";

/** Runs a tool over the repository; it passes when it exits with 0, else its output says why. */
export async function runTool(path: string, args: string[]): Promise<TestResult> {
  const { success, stdout, stderr } = await new Deno.Command(path, {
    args,
    cwd: root,
    env: { NO_COLOR: "1", RUST_BACKTRACE: "0", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (success) return { passed: 1, failures: [] };
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return failed(output.trim() || `${path} failed`);
}
