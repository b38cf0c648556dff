/** Runs pages: the blocks of each in their order, with people of its own (CONTRIBUTING.md). */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { type Block, blocksOf } from "../../scripts/documents/blocks.ts";
import { textOf } from "../../scripts/documents/markdown.ts";
import { compiled, isScript, programOf } from "../../scripts/documents/program.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { filled, openShell, type Shell } from "../shell.ts";
import { claimsOf, publishableKey, url } from "../support.ts";
import { type Actor, type Cast, makeCast, signedIn } from "./cast.ts";
import { compare, tableOf } from "./output.ts";

/**
 * A test for each page, one after the other on the stack of the file; each block is a step of it.
 * BULWARK_TEST_PAGES leaves those that `npm test -- documents/<page>` named.
 */
export function testPages(...pages: string[]): void {
  for (const page of pages) testPage(page);
}

/** A test for a page; `prepare` changes its shell, and returns what cleans up. */
export function testPage(
  page: string,
  prepare?: (shell: Shell) => Promise<() => Promise<void>>,
): void {
  const chosen = Deno.env.get("BULWARK_TEST_PAGES");
  if (chosen && !chosen.split(",").includes(page)) return;
  Deno.test(`DOCS-01: the blocks of ${page} run, with the output that it shows`, async (test) => {
    const text = await textOf(page);
    const blocks = blocksOf(text);
    const runs = blocks.filter(({ kind }) => kind === "run").length;
    assert.ok(runs > 0, `${page} has no block that is run`);
    const [cast, shell] = [
      await makeCast({ makesAcme: /slug: "acme"/.test(text) }),
      await openShell(),
    ];
    const cleaning = [() => shell.close()] as (() => Promise<unknown>)[];
    const folder = await folderOfLinks();
    cleaning.push(() => Deno.remove(folder, { recursive: true }));
    shell.enter(folder);
    try {
      if (prepare) cleaning.push(await prepare(shell));
      const script = scriptOf(page, blocks, cast);
      cleaning.push(script.close);
      const sql = openDatabase();
      cleaning.push(sql.close);
      let output = "";
      let failed = false;
      for (const [index, block] of blocks.entries()) {
        if (block.kind === "skip" || block.kind === "check") continue;
        const name = `line ${block.line}: ${block.language} ${block.kind}`;
        // A later block needs the earlier ones: one failure ends the page.
        if (failed) break;
        failed = !await test.step(name, async () => {
          const actor = actorOf(block, cast);
          if (block.kind === "output") {
            return compare(output, block.text, name, block.anyNumbers);
          }
          if (isScript(block)) output = await script.run(index);
          else if (block.language === "sql") {
            output = await sql.run(filled(block.text, cast.values), block, actor, cast);
          } else if (block.language === "sh") output = await command(shell, block, cast);
          else output = await request(filled(block.text, cast.values), block, actor);
        });
      }
    } finally {
      for (const clean of cleaning.reverse()) await clean();
    }
  });
}

/**
 * A folder with the content of the repository, in which commands may leave files. Without the packages:
 * a command that installs others would change those of the repository.
 */
async function folderOfLinks(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "bulwark-checkout-" });
  for await (const { name } of Deno.readDir(inRepository())) {
    if (!/^(\.git|\.bulwark|node_modules)$/.test(name)) {
      await Deno.symlink(inRepository(name), join(folder, name));
    }
  }
  return folder;
}

function actorOf({ as, line }: Block, { actors }: Cast): Actor | null {
  if (!as) return null;
  const actor = actors[as];
  assert.ok(actor, `line ${line}: nobody is called ${as}`);
  return actor;
}

async function command(shell: Shell, block: Block, { values }: Cast): Promise<string> {
  for (const [name, value] of Object.entries(values)) shell.set(variable(name), value);
  const { output, stdout, exitCode } = await shell.run(filled(block.text, values));
  assert.equal(exitCode, Number(block.fails ?? 0), output);
  // The progress of a command is on the other stream.
  return stdout || output;
}

const variable = (name: string) => name.toUpperCase().replaceAll(/\W/g, "_");

/** A request as HTTP writes it, with the key of the project and the caller's token. */
async function request(
  text: string,
  { fails, line }: Block,
  actor: Actor | null,
): Promise<string> {
  const [head = "", ...body] = text.split("\n\n");
  const [start = "", ...lines] = head.trim().split("\n");
  const [, method = "", path = ""] = /^([A-Z]+) (\/\S*)/.exec(start) ?? [];
  const headers = new Headers({ apikey: publishableKey });
  if (actor?.token) headers.set("authorization", `Bearer ${actor.token}`);
  for (const line of lines) {
    const [, name = "", value = ""] = /^([\w-]+): (.*)$/.exec(line) ?? [];
    headers.set(name, value);
  }
  const answer = await fetch(url + path, {
    method,
    headers,
    ...method === "GET" ? {} : { body: body.join("\n\n") },
  });
  const content = await answer.text();
  const isExpected = fails ? answer.status === Number(fails) : answer.ok;
  assert.ok(isExpected, `line ${line}: ${answer.status} ${content.slice(0, 500)}`);
  return `${answer.status}\n${content}`;
}

/** One session of the SQL editor, with values as the server writes them. */
function openDatabase() {
  const asText = { to: 0, from: [16, 20, 21, 23, 114, 700, 701, 1082, 1114, 1184, 1700, 3802] };
  const sql = postgres(Deno.env.get("BULWARK_TEST_DB_URL") ?? "", {
    max: 1,
    onnotice: () => {},
    fetch_types: false,
    types: { text: { ...asText, serialize: String, parse: (value: string) => value } },
  });
  return {
    close: () => sql.end(),
    async run(text: string, block: Block, actor: Actor | null, cast: Cast): Promise<string> {
      let rows: Record<string, string | null>[] = [];
      const statements = actor ? actingAs(actor, text) : text;
      const failure = await sql.unsafe(statements).simple().then((result) => {
        const answers = result as unknown as typeof rows[] | typeof rows;
        const sets = (Array.isArray(answers[0]) ? answers : [answers]) as typeof rows[];
        rows = [...sets.findLast((set) => set.length > 0) ?? []];
        return null;
      }, async (thrown: postgres.PostgresError) => {
        await sql.unsafe("rollback").simple();
        return thrown;
      });
      expectFailure(block, failure && [failure.code, failure.detail ?? ""], failure);
      if (block.kind === "setup") {
        for (const [name, value] of Object.entries(rows.at(-1) ?? {})) {
          cast.values[name] = value ?? "";
        }
      }
      return tableOf(rows);
    },
  };
}

/** Statements as the Data API would run them for somebody. */
function actingAs({ person }: Actor, text: string): string {
  const claims = person ? claimsOf(person) : { role: "service_role" };
  const quoted = JSON.stringify(claims).replaceAll("'", "''");
  return `begin; set local role ${claims.role}; set local request.jwt.claims = '${quoted}';
    ${text.trim().replace(/;?$/, ";")} commit;`;
}

/** Throws unless a block failed as it must, or not at all. */
function expectFailure({ fails }: Block, codes: string[] | null, thrown: unknown): void {
  if (!fails && thrown) throw thrown;
  if (fails) assert.ok(codes?.includes(fails), `expected ${fails}, got ${codes ?? "no failure"}`);
}

type Options = NonNullable<Parameters<typeof createClient>[2]>;

/** The program of a page, of which each run of a block is one part. */
function scriptOf(page: string, blocks: Block[], cast: Cast) {
  const gates = blocks.map(() => ({
    start: Promise.withResolvers<void>(),
    end: Promise.withResolvers<void>(),
  }));
  let printed: string[] = [];
  for (const { start, end } of gates) {
    // Those that nobody waits for are no failures.
    for (const { promise } of [start, end]) promise.catch(() => {});
  }
  let folder: string | undefined;
  let ended: Promise<unknown> | undefined;
  const print = (...values: unknown[]) =>
    void printed.push(
      values.map((value) => typeof value === "string" ? value : Deno.inspect(value)).join(" "),
    );
  const keep = (names: Record<string, unknown>) => {
    for (const [name, value] of Object.entries(names)) {
      if (typeof value === "string") cast.values[name.replaceAll("_", " ")] = value;
    }
  };
  const ada = cast.actors.ada;
  const program = {
    ...cast.names,
    supabase: ada?.supabase,
    bulwark: ada?.bulwark,
    show: print,
    suggestAnotherSlug: () => print("another slug"),
    askForCode: () => Promise.resolve(null),
    file: { writable: new WritableStream() },
    blob: new Blob(["no export"]),
    console: { ...console, log: print, error: print, info: print, warn: print },
    as: (name: string) => cast.actors[name],
    createClient: (url: string, key: string, options: Options = {}) => {
      if (options.accessToken || !ada?.session) return createClient(url, key, options);
      return signedIn(ada.session, options);
    },
    start: (index: number) => gates[index]?.start.promise,
    end(index: number, names: Record<string, unknown>) {
      keep(names);
      gates[index]?.end.resolve();
    },
    failed(index: number, thrown: { code?: string; details?: string } | undefined) {
      try {
        const codes = thrown && [thrown.code ?? "", thrown.details ?? ""];
        expectFailure(blocks[index]!, codes ?? null, thrown);
        gates[index]?.end.resolve();
      } catch (wrong) {
        gates[index]?.end.reject(wrong);
      }
    },
    settled<Value>(value: Value): Value {
      const { error } = (value ?? {}) as { error?: unknown };
      if (error) throw error;
      return value;
    },
  };
  return {
    async run(index: number): Promise<string> {
      printed = [];
      ended ??= start();
      gates[index]?.start.resolve();
      // The program ends early if a block throws.
      await Promise.race([gates[index]?.end.promise, ended]);
      return printed.join("\n");
    },
    async close() {
      const over = new Error("the page has ended");
      for (const { start } of gates) start.reject(over);
      await ended?.catch(() => {});
      if (folder) await Deno.remove(folder, { recursive: true });
    },
  };

  async function start(): Promise<void> {
    Object.assign(globalThis, { page: program });
    folder = await Deno.makeTempDir({ prefix: "bulwark-documents-" });
    await Deno.symlink(inRepository("node_modules"), join(folder, "node_modules"));
    const file = join(folder, "page.mjs");
    const text = compiled(programOf(blocks, { run: true }), (name) => moduleOf(page, name))
      .replace(/^import \{ ([^}]*)createClient([^}]*) \} from "@supabase\/supabase-js";$/m, (
        _,
        before,
        after,
      ) =>
        `import { ${before}${after} } from "@supabase/supabase-js";\nconst { createClient } = page;`);
    await Deno.writeTextFile(file, text);
    await import(pathToFileURL(file).href);
  }
}

/** A package as it is in the repository; an edge function's import of shared code. */
function moduleOf(page: string, name: string): string {
  const [, part] = /^@bulwark\/client(?:\/([\w-]+))?$/.exec(name) ?? [];
  const path = name.startsWith("@bulwark/client")
    ? inRepository("clients", "js", "src", `${part?.replaceAll("-", "_") ?? "index"}.ts`)
    : /^(\.\.\/)+_bulwark\//.test(name)
    ? inRepository("supabase", "functions", name.replace(/^(\.\.\/)+/, ""))
    : null;
  assert.ok(path || !name.startsWith("."), `${page}: ${name}`);
  return path ? pathToFileURL(path).href : name;
}
