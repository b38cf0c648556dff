import assert from "node:assert/strict";
import { readSummary } from "./deno_test.ts";

Deno.test("readSummary() counts passed and ignored tests", () => {
  const stdout = "a works ... ok (1ms)\nb (needs Redis) ... ignored (0ms)\n\n" +
    "ok | 1 passed (2 steps) | 0 failed | 1 ignored (3ms)\n";
  assert.deepEqual(readSummary(stdout, "", true), {
    passed: 1,
    failures: [],
    skipped: ["b (needs Redis)"],
  });
});

Deno.test("readSummary() counts each failed test and shows the errors once", () => {
  const stdout = "\n ERRORS \n\na => ./a.test.ts\nerror: no\n\n FAILURES \n\na\nb\n\n" +
    "FAILED | 0 passed | 2 failed (3ms)\n";
  const { failures } = readSummary(stdout, "", false);
  assert.equal(failures.length, 2);
  assert.match(failures[0] ?? "", /error: no/);
});

Deno.test("readSummary() fails a file that could not be loaded or has no test", () => {
  assert.equal(readSummary("", "error: Module not found", false).failures.length, 1);
  assert.equal(readSummary("\nok | 0 passed | 0 failed (0ms)\n", "", true).failures.length, 1);
});
