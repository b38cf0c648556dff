/** The result of a TAP stream. */
export interface TapResult {
  passed: number;
  /** One entry a failed test, and one for every way in which the stream itself is wrong. */
  failures: string[];
  /** The descriptions of skipped tests. */
  skipped: string[];
}

/**
 * Reads the Test Anything Protocol as pgTAP writes it. A stream without a plan, or with another
 * number of tests than planned, has failed, whatever its tests say. A test marked as TODO is a test.
 * @see https://testanything.org/tap-version-13-specification.html
 */
export function parseTap(text: string): TapResult {
  const failures: string[] = [];
  const skipped: string[] = [];
  let passed = 0;
  let seen = 0;
  let planned: number | null = null;
  let failing = false;
  for (const line of text.split("\n")) {
    const plan = /^1\.\.(\d+)/.exec(line);
    const test = /^(not )?ok\b(?:\s+\d+)?(?:\s+-)?\s*(.*)$/.exec(line);
    if (plan) {
      planned = Number(plan[1]);
    } else if (test) {
      seen++;
      const [, not, description = ""] = test;
      failing = Boolean(not);
      if (failing) failures.push(description || `test ${seen}`);
      else if (/#\s*skip\b/i.test(description)) skipped.push(description);
      else passed++;
    } else if (/^bail out!/i.test(line)) {
      failures.push(line);
    } else if (failing && line.startsWith("#") && !/^#\s*(Failed test|Looks like)/.test(line)) {
      failures.push(failures.pop() + "\n" + line);
    }
  }
  if (planned === null) failures.push("there is no plan: select plan(n) is missing or never ran");
  else if (planned !== seen) failures.push(`planned ${planned} tests but ran ${seen}`);
  return { passed, failures, skipped };
}
