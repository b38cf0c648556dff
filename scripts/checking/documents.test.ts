/** Documents and code name the same things, in both directions. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { codes } from "../../cli/doctor/codes.ts";
import { tableOf } from "../../cli/doctor/reference.ts";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";

async function* files(folder: string, ending: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* files(path, ending);
    else if (path.endsWith(ending) && !path.endsWith(`.test${ending}`)) yield path;
  }
}

async function allMatches(folder: string, ending: string, pattern: RegExp): Promise<Set<string>> {
  const found = new Set<string>();
  for await (const path of files(inRepository(...folder.split("/")), ending)) {
    for (const [, name] of (await Deno.readTextFile(path)).matchAll(pattern)) {
      if (name) found.add(name);
    }
  }
  return found;
}

Deno.test("docs/errors.md lists every code that is raised, and no other", async () => {
  const raised = new Set([
    ...await allMatches("supabase/migrations", ".sql", /detail = '([A-Z_]+)'/g),
    ...await allMatches("supabase/migrations", ".sql", /return '([A-Z]+_[A-Z_]+)'/g),
    // Lists of reasons, of which the first is raised.
    ...await allMatches(
      "supabase/migrations",
      ".sql",
      /select(?: distinct)?\s+'([A-Z]+_[A-Z_]+)'/g,
    ),
    ...await allMatches("supabase/functions", ".ts", /\bcode: "([A-Z]+_[A-Z_]+)"/g),
    ...await allMatches("supabase/functions", ".ts", /BulwarkError\(\s*\d+,\s*"([A-Z_]+)"/g),
    // A union of codes is generated from the document itself.
    ...await allMatches("clients", ".ts", /[^|] "(CLIENT_[A-Z_]+)"/g),
    ...await allMatches("cli", ".ts", /new CliError\(\s*"([A-Z_]+)"/g),
    ...await allMatches("cli", ".sql", /detail = '([A-Z_]+)'/g),
  ]);
  const document = await Deno.readTextFile(inRepository("docs", "errors.md"));
  const listed = new Set([...document.matchAll(/^\| `([A-Z_]+)`/gm)].map(([, code]) => code ?? ""));
  assert.deepEqual([...listed].sort(), [...raised].sort());
});

Deno.test("docs/doctor.md lists every finding as the command judges it", async () => {
  const document = await Deno.readTextFile(inRepository("docs", "doctor.md"));
  assert.ok(document.includes(tableOf(codes)), `write this table into it:\n${tableOf(codes)}`);
});

Deno.test("every finding of the doctor is found by a check and seen by a test", async () => {
  const textOf = async (folder: string) =>
    (await Promise.all(
      (await filesBelow(folder, ".ts")).map((path) => Deno.readTextFile(inRepository(path))),
    )).join("\n");
  const checks = await textOf("cli/doctor/checks");
  const tests = await textOf("tests/doctor");
  const names = Object.keys(codes);
  assert.deepEqual(names.filter((code) => !checks.includes(`"${code}"`)), ["CHECK_FAILED"]);
  assert.deepEqual(names.filter((code) => !tests.includes(code)), []);
});

Deno.test("every function pins the versions that the tests ran with", async () => {
  const { devDependencies } = JSON.parse(await Deno.readTextFile(inRepository("package.json")));
  for await (const path of files(inRepository("supabase", "functions"), "deno.json")) {
    const { imports } = JSON.parse(await Deno.readTextFile(path)) as {
      imports: Record<string, string>;
    };
    for (const specifier of Object.values(imports)) {
      const [, name = "", version] = /^npm:(@?[^@]+)@([^/]+)/.exec(specifier) ?? [];
      assert.equal(version, devDependencies[name], `${path}: ${specifier}`);
    }
  }
});

Deno.test("every function names the packages that it imports, and no others", async () => {
  for await (const map of files(inRepository("supabase", "functions"), "deno.json")) {
    const imported = new Set<string>();
    const seen = new Set<string>();
    const follow = async (path: string) => {
      if (seen.has(path)) return;
      seen.add(path);
      const source = await Deno.readTextFile(path);
      for (const [, name = ""] of source.matchAll(/(?:from |import |import\()"([^"]+)"/g)) {
        if (name.startsWith(".")) await follow(join(path, "..", name));
        else if (!name.startsWith("node:")) imported.add(name);
      }
    };
    await follow(join(map, "..", "index.ts"));
    const { imports } = JSON.parse(await Deno.readTextFile(map));
    assert.deepEqual(Object.keys(imports).sort(), [...imported].sort(), map);
  }
});

Deno.test("no map of bounded size empties itself for all when it is full", async () => {
  const pattern = /(\.size >=? [^;{]*\.clear\(\)|\.keys\(\)\.next\(\))/g;
  const found = await allMatches("supabase/functions/_bulwark", ".ts", pattern);
  assert.deepEqual([...found], [], "LRUCache evicts the oldest");
});

Deno.test("every variable that a function reads is described", async () => {
  const read = await allMatches(
    "supabase/functions/_bulwark",
    ".ts",
    /get\("((?:BULWARK|SENTRY|REDIS|UPSTASH)_[A-Z_]+)"\)/g,
  );
  assert.ok(read.size > 10);
  const described = [await Deno.readTextFile(inRepository(".env.example"))];
  for await (const path of files(inRepository("docs"), ".md")) {
    described.push(await Deno.readTextFile(path));
  }
  const missing = [...read].filter((name) => !described.some((text) => text.includes(name)));
  assert.deepEqual(missing, []);
});

Deno.test("links between documents lead somewhere", async () => {
  const documents = [inRepository("README.md"), inRepository("CONTRIBUTING.md")];
  for await (const path of files(inRepository("docs"), ".md")) documents.push(path);
  for (const path of documents) {
    const text = await Deno.readTextFile(path);
    for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      await assert.doesNotReject(Deno.stat(join(path, "..", target)), `${path}: ${target}`);
    }
  }
});
