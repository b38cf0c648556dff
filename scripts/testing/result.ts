/** The result of one task of the test run: a file on one database, a check, a test program. */
export interface TestResult {
  passed: number;
  failures: string[];
  /** Tests that were left out, and why; counted as failures when CI=true. */
  skipped?: string[];
}

/** One piece of the test run. */
export interface TestTask {
  /** Its environment, such as `pgtap 17` or `deno 2.1`. */
  kind: string;
  name: string;
  /** Tasks with the same lane run one after the other. */
  lane?: string;
  run(): Promise<TestResult>;
}

/** A result that stands for one failed test. */
export function failed(message: string): TestResult {
  return { passed: 0, failures: [message] };
}
