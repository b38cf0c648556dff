/** Documents and code name the same things, in both directions. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseTOML } from "toml-eslint-parser";
import { codes } from "../../cli/doctor/codes.ts";
import { tableOf } from "../../cli/doctor/reference.ts";
import { blocksOf, Unclear } from "../documents/blocks.ts";
import { anchorsOf, linksOf, markdown, pages, textOf } from "../documents/markdown.ts";
import { exists } from "../stack/binaries.ts";
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
    ...await allMatches("supabase/functions", ".ts", /\[\s*\d{3},\s*"([A-Z]+_[A-Z_]+)"/g),
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

/** Variables that are no setting: set by the stack, a parent process, the tests or the platform. */
const notSettings = [
  /^BULWARK_(TEST_\w+|PARENT_PIPE|STARTED_AT|ENV_FILE)$/,
  /^(BULWARK_JWT_SECRET|BULWARK_SCANNER_KEYS(_URL)?)$/,
  /^SUPABASE_(ANON_KEY|SERVICE_ROLE_KEY|PUBLISHABLE_KEYS|SECRET_KEYS)$/,
  // CI's own, the system's, and the name in an example.
  /^(CI|PATH|WEBHOOK_SECRET)$/,
];

Deno.test(".env.example describes every variable that is read, and no other", async () => {
  const read = new Set<string>();
  for (const folder of ["scripts", "supabase/functions"]) {
    const pattern = /\b(?:get|demand|setting)\(\s*"([A-Z][A-Z_]+)"/g;
    for (const name of await allMatches(folder, ".ts", pattern)) read.add(name);
  }
  const secrets = /^ {4}name: "([A-Z_]+)",$|\{ name: "([A-Z_]+)", generate/gm;
  const source = await Deno.readTextFile(inRepository("scripts/stack/secrets.ts"));
  for (const [, one, other] of source.matchAll(secrets)) read.add(one ?? other ?? "");
  assert.ok(read.size > 40, [...read].join(" "));
  const settings = [...read].filter((name) => !notSettings.some((other) => other.test(name)));
  const example = await Deno.readTextFile(inRepository(".env.example"));
  const described = [...example.matchAll(/^#?([A-Z][A-Z_0-9]+)=/gm)].map(([, name]) => name);
  assert.deepEqual(described.sort(), settings.sort());
});

Deno.test("variables of functions that the local stack sets are described in a guide", async () => {
  const guides: string[] = [];
  for await (const path of files(inRepository("docs"), ".md")) {
    guides.push(await Deno.readTextFile(path));
  }
  for (const name of ["BULWARK_JWT_SECRET", "BULWARK_SCANNER_KEYS", "BULWARK_SCANNER_KEYS_URL"]) {
    assert.ok(guides.some((text) => text.includes(`\`${name}\``)), name);
  }
});

Deno.test("links between documents lead somewhere, to headings too", async () => {
  const wrong: string[] = [];
  const anchors = new Map<string, string[]>();
  for (const page of [...await pages(), "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]) {
    for (const link of linksOf(await textOf(page))) {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : join(page, "..", path);
      const found = await Deno.stat(inRepository(target)).catch(() => null);
      if (!found) wrong.push(`${page}: ${link}`);
      else if (anchor && found.isFile) {
        if (!anchors.has(target)) anchors.set(target, anchorsOf(await textOf(target)));
        if (!anchors.get(target)?.includes(anchor)) wrong.push(`${page}: ${link}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("figures of speed are on the page that benchmarks write, and guides link to it", async () => {
  const unlinked: string[] = [];
  for (const page of await pages()) {
    const [, speed] = /^## Speed\n([^]*?)(?=^## |$(?![^]))/m.exec(await textOf(page)) ?? [];
    if (speed && !/\]\((?:\.\.\/)?benchmarks\.md#?/.test(speed)) unlinked.push(page);
  }
  assert.deepEqual(unlinked, []);
});

/** Speed and size as somebody measured them. Settings and limits are written otherwise. */
const measured = [
  /\d\s?(?:ms|µs|microseconds?)\b/,
  /\b\d[\d.,]*(?: %| times) (?:as|the|faster|slower|more|less)\b/,
  /\b\d+\.\d+ times\b/,
  /\b\d[\d.,]* (?:\w+ )?(?:a|per) second\b/,
  /\d\s?\/s\b/,
  /\b\d[\d.,]* (?:bytes|kB|KiB) (?:a|an|per) (?:entry|row|value|key)\b/,
];
/** Said by others, with their source on the page. */
const quoted = ["3,000 writes a second"];

Deno.test("no guide repeats by hand a figure that benchmarks write", async () => {
  const found: string[] = [];
  for (const page of await pages()) {
    if (page === "docs/benchmarks.md") continue;
    const text = await textOf(page);
    for (const token of markdown().parse(text, {})) {
      if (token.type !== "inline") continue;
      const prose = quoted.reduce((rest, quote) => rest.replaceAll(quote, ""), token.content);
      const figure = measured.map((pattern) => pattern.exec(prose)?.[0]).find(Boolean);
      if (figure) found.push(`${page}:${(token.map?.[0] ?? 0) + 1}: ${figure}`);
    }
  }
  assert.deepEqual(found, []);
});

Deno.test("blocks of documents keep to the convention of CONTRIBUTING.md", async () => {
  const wrong: string[] = [];
  for (const page of await pages()) {
    try {
      blocksOf(await textOf(page));
    } catch (thrown) {
      if (!(thrown instanceof Unclear)) throw thrown;
      wrong.push(`${page}, ${thrown.message}`);
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("json and toml of documents are well formed", async () => {
  const wrong: string[] = [];
  for (const page of await pages()) {
    for (const { language, text, line, kind } of blocksOf(await textOf(page))) {
      if (kind === "skip" || kind === "output") continue;
      try {
        if (language === "json") JSON.parse(text);
        if (language === "toml") parseTOML(text);
      } catch (thrown) {
        wrong.push(`${page}, line ${line}: ${thrown}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("every page with blocks has a test that runs it, and counts its exceptions", async () => {
  const tests = await Promise.all(
    [...await filesBelow("tests/documents", ".test.ts"), "tests/runbooks/guides.test.ts"]
      .map((path) => Deno.readTextFile(inRepository(path))),
  );
  const exceptions: string[] = [];
  const untested: string[] = [];
  for (const page of await pages()) {
    const blocks = blocksOf(await textOf(page));
    for (const { kind, reason, line, language } of blocks) {
      if (reason) exceptions.push(`${page}:${line} ${kind} ${language}: ${reason}`);
      const [named] = /\b(?:tests|scripts|docs)\/[\w./-]*\w/.exec(reason) ?? [];
      if (named && !exists(inRepository(named))) untested.push(`${page}:${line}: no ${named}`);
    }
    const isRun = blocks.some(({ kind }) => kind === "run");
    // Every runbook has a test, as runbooks.test.ts sees.
    if (!isRun || page.startsWith("docs/runbooks/")) continue;
    const name = page.replace(/^docs\//, "").replace(/\.md$/, "");
    if (!tests.some((text) => text.includes(`"${page}"`) || text.includes(`"../${name}"`))) {
      untested.push(page);
    }
  }
  assert.deepEqual(untested, []);
  console.log(`${exceptions.length} blocks are not run:\n${exceptions.join("\n")}`);
});
