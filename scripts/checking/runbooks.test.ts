/** Every runbook is in the index, in one form, and run by a test; alerts name pages that exist. */
import assert from "node:assert/strict";
import { parse } from "yaml";
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
    // Every block is of a kind that tests run.
    const kinds = [...text.matchAll(/^```(\w*)\n[\s\S]*?^```$/gm)].map(([, kind]) => kind);
    assert.deepEqual(kinds.filter((kind) => !["sql", "sh"].includes(kind ?? "")), [], page);
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

Deno.test("every alert of deploy/prometheus names a page, and a section that it has", async () => {
  const rules = await Deno.readTextFile(inRepository("deploy", "prometheus", "bulwark.rules.yml"));
  const alerts = parse(rules).groups
    .flatMap(({ rules }: { rules: Alert[] }) => rules)
    .filter(({ alert }: Alert) => alert !== undefined) as Alert[];
  assert.ok(alerts.length > 30);
  for (const { alert, annotations } of alerts) {
    const [, path = "", section] = /^(docs\/[\w/-]+\.md)(?:#([\w-]+))?$/
      .exec(annotations?.runbook ?? "") ?? [];
    assert.notEqual(path, "", `${alert} names no page`);
    const text = await Deno.readTextFile(inRepository(path)).catch(() => null);
    assert.ok(text !== null, `${alert}: there is no ${path}`);
    if (section) assert.ok(anchors(text).includes(section), `${alert}: ${path} has no ${section}`);
  }
});

interface Alert {
  alert?: string;
  annotations?: { runbook?: string };
}

/** The names of a page's sections, in links to them. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replaceAll(/[^\w\s-]/g, "").replaceAll(" ", "-")
  );
}
