/** Every runbook is in the index, in one form, and run by a test. */
import assert from "node:assert/strict";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";

const pages = (await filesBelow("docs/runbooks", ".md"))
  .map((path) => path.slice("docs/runbooks/".length, -".md".length))
  .filter((page) => page !== "README");
const textOf = (page: string) => Deno.readTextFile(inRepository("docs", "runbooks", `${page}.md`));

Deno.test("the index lists every runbook, and no other", async () => {
  const listed = [...(await textOf("README")).matchAll(/^\| \[[^\]]+\]\(([\w-]+)\.md\)/gm)]
    .map(([, page]) => page);
  assert.deepEqual(listed.sort(), pages);
});

Deno.test("a runbook has symptoms, commands, and how to see that it is over", async () => {
  for (const page of pages) {
    const text = await textOf(page);
    assert.match(text, /^## Symptoms$/m, page);
    assert.match(text, /^## It is over when$[\s\S]*^```(sql|sh)$/m, page);
    // Every block of commands is of a kind that tests run; text is output.
    const kinds = [...text.matchAll(/^```(\w*)\n[\s\S]*?^```$/gm)].map(([, kind]) => kind);
    assert.deepEqual(kinds.filter((kind) => !["sql", "sh", "text"].includes(kind ?? "")), [], page);
  }
});

Deno.test("every runbook is run by a test", async () => {
  const tests = await Promise.all(
    (await filesBelow("tests/runbooks", ".test.ts")).map((path) =>
      Deno.readTextFile(inRepository(path))
    ),
  );
  const run = [...tests.join("\n").matchAll(/runbookTest\(\s*"[^"]+",\s*"([\w-]+)"/g)]
    .map(([, page]) => page);
  assert.deepEqual([...new Set(run)].sort(), pages);
});
