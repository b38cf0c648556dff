import assert from "node:assert/strict";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";

Deno.test("no line of SQL has more than 100 characters", async () => {
  const long: string[] = [];
  for (const folder of ["cli", "supabase", "scripts"]) {
    for (const path of await filesBelow(folder, ".sql")) {
      // Built, with long lists of revokes.
      if (/^supabase\/(migrations|releases\/[^/]+)\/\w+\.sql$/.test(path)) continue;
      const lines = (await Deno.readTextFile(inRepository(path))).split("\n");
      lines.forEach((line, index) => {
        if ([...line].length > 100) long.push(`${path}:${index + 1}`);
      });
    }
  }
  assert.deepEqual(long, []);
});

Deno.test("no path of a file is taken from a URL's pathname, where a space is %20", async () => {
  const found: string[] = [];
  for (const folder of ["cli", "scripts", "tests", "supabase/functions", "clients"]) {
    for (const path of await filesBelow(folder, ".ts")) {
      const text = await Deno.readTextFile(inRepository(path));
      if (/import\.meta\.url\)\.pathname/.test(text)) found.push(path);
    }
  }
  assert.deepEqual(found, []);
});

Deno.test("no comment opens with What, Whoever or Who, which a reader has to read twice", async () => {
  const found: string[] = [];
  for (const folder of ["cli", "clients", "console", "scripts", "supabase", "tests"]) {
    for (const ending of [".ts", ".tsx", ".sql"]) {
      // Migrations that are released keep their comments.
      const words = ending === ".sql" ? "What|Whoever" : "What|Whoever|Whom?";
      const opening = new RegExp(`(?:^\\s*(?:--|\\*)|//|/\\*\\*?) (?:${words}) `, "m");
      for (const path of await filesBelow(folder, ending)) {
        const text = await Deno.readTextFile(inRepository(path));
        if (opening.test(text)) found.push(path);
      }
    }
  }
  assert.deepEqual(found, []);
});

Deno.test("the id of a claim names claims of one file, and in TypeScript one test", async () => {
  const files = new Map<string, Set<string>>();
  const twice: string[] = [];
  const paths = [
    ...await filesBelow("supabase/tests", ".test.sql"),
    ...await filesBelow("tests", ".test.ts"),
    ...await filesBelow("scripts", ".test.ts"),
  ];
  // The tests of the tools quote claims.
  for (const path of paths.filter((path) => !path.startsWith("scripts/testing/"))) {
    const text = await Deno.readTextFile(inRepository(path));
    for (const [, id = ""] of text.matchAll(/['"`]([A-Z]+-[A-Z]?\d+): /g)) {
      const known = files.get(id) ?? new Set();
      if (known.has(path) && path.endsWith(".ts")) twice.push(`${id} twice in ${path}`);
      files.set(id, known.add(path));
    }
  }
  assert.ok(files.size > 1000);
  const shared = [...files].filter(([, found]) => found.size > 1);
  assert.deepEqual([...twice, ...shared.map(([id, found]) => [id, ...found].join(" "))], []);
});

// A job that runs between two migrations meets half of Bulwark; the sealer raises an alarm of it.
Deno.test("jobs are scheduled by the last migration alone", async () => {
  const paths = (await filesBelow("supabase/migrations", ".sql")).sort();
  const scheduling: string[] = [];
  for (const path of paths) {
    const text = await Deno.readTextFile(inRepository(path));
    if (/^select bulwark\.schedule_jobs\(\)/m.test(text)) scheduling.push(path);
  }
  assert.deepEqual(scheduling, paths.slice(-1));
});
