/** docs/compliance-controls.md names tests, functions, parts of the report and queries that exist. */
import assert from "node:assert/strict";
import { controls } from "../../scripts/compliance/controls.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { filesBelow } from "../../scripts/testing/selection.ts";
import { connect, service } from "../support.ts";

const document = await Deno.readTextFile(inRepository("docs", "compliance-controls.md"));
const textOf = async (folder: string, ending: string) =>
  (await Promise.all(
    (await filesBelow(folder, ending)).map((path) => Deno.readTextFile(inRepository(path))),
  )).join("\n");
const tests = await textOf("supabase/tests", ".sql") + await textOf("tests", ".ts") +
  await textOf("clients", ".ts");
const sql = connect(1);
const [acme] = await sql`select id from bulwark.organizations where slug = 'acme'`;

/** The rows of the controls: name, feature, tests, evidence. */
const rows = document.slice(
  document.indexOf("## Controls"),
  document.indexOf("## Evidence queries"),
)
  .split("\n").filter((line) =>
    line.startsWith("| ") && !/^\| (---|Control|Article|Safe|Requ)/.test(line)
  )
  .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
const queries = [...document.matchAll(/```sql\n-- (E\d+): [^\n]+\n([^`]+)```/g)]
  .map(([, id = "", text = ""]) => ({ id, text }));
const namesIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);

Deno.test("CMP-D01: each control has a feature, tests that exist, and evidence", () => {
  assert.ok(rows.length > 50, String(rows.length));
  const wrong = rows.flatMap(([control = "", feature = "", proofs = "", evidence = ""]) => {
    if (control.startsWith("CC6.4 ")) return proofs || evidence ? [control] : [];
    const ids = namesIn(proofs);
    if (!feature || ids.length === 0 || !evidence) return [control];
    return ids.filter((id) => !new RegExp(`["'\`]${id}: `).test(tests))
      .map((id) => `${control}: ${id}`);
  });
  assert.deepEqual(wrong, []);
});

Deno.test("CMP-D02: evidence is a part of the report of the demo, or a query", async () => {
  const { data: report, error } = await service().rpc("compliance_report", {
    organization_id: acme!.id,
  });
  assert.equal(error, null);
  const wrong = rows.flatMap(([control = "", , , evidence = ""]) =>
    [
      ...namesIn(evidence).filter((part) => !(part in (report as object))),
      ...[...evidence.matchAll(/\bE\d+\b/g)].map(([id]) => id)
        .filter((id) => !queries.some((query) => query.id === id)),
    ].map((name) => `${control}: ${name}`)
  );
  assert.deepEqual(wrong, []);
});

Deno.test("CMP-D03: each query runs on the demo, and is evidence of a control", async () => {
  assert.ok(queries.length >= 18);
  await sql`select set_config('evidence.organization', ${acme!.id}, false)`;
  for (const { id, text } of queries) {
    await sql.unsafe(text).catch((thrown) => assert.fail(`${id}: ${thrown.message}`));
  }
  const { length } = await sql.unsafe(queries.find(({ id }) => id === "E3")!.text);
  assert.ok(length > 0, "the demo has grants");
  const used = new Set(
    rows.flatMap((row) => [...(row[3] ?? "").matchAll(/\bE\d+\b/g)].map(([id]) => id)),
  );
  // Keys that nobody uses are in the report too.
  assert.deepEqual(queries.map(({ id }) => id).filter((id) => !used.has(id)), ["E2"]);
});

Deno.test("CMP-D04: functions and guides that the document names exist", async () => {
  const inSql = document.matchAll(/bulwark(?:_private)?\.(\w+)\(/g);
  const inCode = document.matchAll(/rpc\("(\w+)"/g);
  for (const [text, name] of [...inSql, ...inCode].filter(([, name]) => name !== "rpc")) {
    const [found] = await sql`select from pg_proc where proname = ${name!}`;
    assert.ok(found, text);
  }
  for (const [, name] of document.matchAll(/\]\((\w[\w-]*\.md)/g)) {
    await Deno.stat(inRepository("docs", name!));
  }
});

Deno.test("CMP-D05: the index in the report says of CC6 and CC7 what the document says", () => {
  const documented = rows.filter(([control]) => /^CC[67]\./.test(control ?? ""))
    .map(([control = "", , , evidence = ""]) => [control, namesIn(evidence)]);
  assert.deepEqual(
    documented,
    controls.map(({ id, title, parts }) => [`${id} ${title}`, [...parts]]),
  );
});

Deno.test("(the connection ends)", () => sql.end());
