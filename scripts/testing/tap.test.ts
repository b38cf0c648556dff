import assert from "node:assert/strict";
import { parseTap } from "./tap.ts";

Deno.test("parseTap() counts what passed and names what failed with its diagnostics", () => {
  const result = parseTap(
    '1..2\nok 1 - RBAC-01: fine\nnot ok 2 - RBAC-02: bad\n# Failed test 2: "RBAC-02: bad"\n' +
      "#         have: 1\n#         want: 2\n# Looks like you failed 1 test of 2",
  );
  assert.equal(result.passed, 1);
  assert.deepEqual(result.failures, ["RBAC-02: bad\n#         have: 1\n#         want: 2"]);
});

Deno.test("parseTap() fails a stream that ran fewer tests than planned", () => {
  assert.deepEqual(parseTap("1..3\nok 1 - a\nok 2 - b").failures, ["planned 3 tests but ran 2"]);
});

Deno.test("parseTap() fails a stream without a plan", () => {
  assert.equal(parseTap("ok 1 - a").failures.length, 1);
  assert.equal(parseTap("").failures.length, 1);
});

Deno.test("parseTap() fails a failing todo, and counts a skip as neither passed nor failed", () => {
  const result = parseTap("1..2\nnot ok 1 - later # TODO not yet\nok 2 # SKIP no pg_cron");
  assert.deepEqual(result, {
    passed: 0,
    failures: ["later # TODO not yet"],
    skipped: ["# SKIP no pg_cron"],
  });
});

Deno.test("parseTap() fails on a bail-out", () => {
  assert.ok(parseTap("1..1\nBail out! no database").failures.includes("Bail out! no database"));
});
