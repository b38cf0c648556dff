/**
 * Runs the pages of `docs/runbooks`: a test does not repeat a page's commands, it takes them from
 * the page, so that the two cannot differ.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { inRepository } from "../../scripts/stack/paths.ts";
import { type ServedFunction, serveFunction } from "./served_function.ts";
import {
  connect,
  metricsToken,
  publishableKey,
  schedulerSecret,
  secretKey,
  url,
} from "../support.ts";

/** A block of commands of a page, and the section that it is in. */
export interface Block {
  section: string;
  language: "sql" | "sh";
  text: string;
}

/** The result of one block. */
export interface Ran {
  /** The rows of the last statement of an SQL block. */
  // deno-lint-ignore no-explicit-any -- each test asserts what it reads
  rows: Record<string, any>[];
  /** The output of an sh block, and how it ended. */
  output: string;
  exitCode: number;
}

/** A page that is being run. */
export interface Runbook {
  /**
   * Runs the blocks of a section, in order, with values in the place of `<names>`; `blocks` chooses
   * some by number. An sh block has to end with 0, unless `exitCode` says otherwise.
   */
  run(
    section: string,
    values?: Record<string, string>,
    options?: { blocks?: number[]; exitCode?: number },
  ): Promise<Ran[]>;
  /** Sets a variable of the page's shell, such as REDIS_URL. */
  set(name: string, value: string): void;
  /**
   * Serves a function apart from the stack from now on, with variables that the stack would not start
   * with; `supabase secrets set` restarts that function alone.
   */
  serveApart(name: string, env: Record<string, string>): Promise<ServedFunction>;
  /** Runs the rest of the page against another database than the stack's, in another folder. */
  move(databaseUrl: string, folder?: string): Promise<void>;
}

/** The blocks of a page. */
export async function blocksOf(page: string): Promise<Block[]> {
  const text = await Deno.readTextFile(inRepository("docs", "runbooks", `${page}.md`));
  const blocks: Block[] = [];
  let section = "";
  for (
    const [, heading, language, body = ""] of text.matchAll(
      /^#{2,4} (.+)$|^```(sql|sh)\n([\s\S]*?)^```$/gm,
    )
  ) {
    if (heading) section = heading;
    else blocks.push({ section, language: language as Block["language"], text: body });
  }
  return blocks;
}

/** A test that runs a page; it fails for a block that it did not run. */
export function runbookTest(
  claim: string,
  page: string,
  test: (runbook: Runbook, sql: postgres.Sql) => Promise<void>,
): void {
  Deno.test(claim, async () => {
    const blocks = await blocksOf(page);
    const ran = new Set<Block>();
    let sql = connect(1);
    const own = sql;
    const shell = await openShell();
    let apart: ServedFunction | undefined;
    const runbook: Runbook = {
      async run(section, values = {}, { blocks: chosen, exitCode = 0 } = {}) {
        const found = blocks.filter((block) => block.section === section);
        assert.ok(found.length > 0, `${page} has no commands under "${section}"`);
        const results: Ran[] = [];
        for (const [index, block] of found.entries()) {
          if (chosen && !chosen.includes(index)) continue;
          ran.add(block);
          const text = filled(block.text, values);
          if (block.language === "sql") {
            results.push({ rows: await query(sql, text), output: "", exitCode: 0 });
            continue;
          }
          const result = await shell.run(text);
          assert.equal(result.exitCode, exitCode, `${text}\n${result.output}`);
          results.push({ rows: [], ...result });
        }
        return results;
      },
      set: shell.set,
      async serveApart(name, env) {
        apart = await serveFunction(name, env);
        shell.set("SUPABASE_URL", apart.url);
        shell.restartWith(apart.restart);
        return apart;
      },
      async move(databaseUrl, folder) {
        if (sql !== own) await sql.end();
        sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
        shell.set("DATABASE_URL", databaseUrl);
        if (folder) shell.enter(folder);
      },
    };
    try {
      await test(runbook, own);
      assert.deepEqual(blocks.filter((block) => !ran.has(block)), [], "blocks were not run");
    } finally {
      await apart?.stop();
      await shell.close();
      await own.end();
      if (sql !== own) await sql.end();
    }
  });
}

/** Replaces `<names>`; a name without a value is a mistake of the test. */
function filled(text: string, values: Record<string, string>): string {
  return text.replaceAll(/<([a-z][a-z0-9 '-]*)>/g, (_, name: string) => {
    const value = values[name];
    assert.notEqual(value, undefined, `no value for <${name}>`);
    return value as string;
  });
}

/** Runs statements as the SQL editor does: as `postgres`, and returns the rows of the last. */
async function query(sql: postgres.Sql, text: string): Promise<Record<string, unknown>[]> {
  const result = await sql.unsafe(text).simple() as unknown as unknown[];
  const sets = Array.isArray(result[0]) ? result as unknown[][] : [result];
  return [...sets.at(-1) ?? []] as Record<string, unknown>[];
}

/**
 * A shell in the repository with the variables of docs/runbooks/README.md. `supabase secrets set` and
 * `unset` restart the stack with the new values, because its functions have no hosted runtime; every
 * other command is the real one.
 */
async function openShell() {
  const folder = await Deno.makeTempDir({ prefix: "bulwark-runbook-" });
  const changes = join(folder, "changes");
  await Deno.writeTextFile(
    join(folder, "supabase"),
    `#!/bin/sh
case "$1 $2" in
  "secrets set") shift 2; for pair in "$@"; do printf 'set %s\\n' "$pair" >> '${changes}'; done ;;
  "secrets unset") shift 2; for name in "$@"; do printf 'unset %s\\n' "$name" >> '${changes}'; done ;;
  *) exec '${inRepository("node_modules", ".bin", "supabase")}' "$@" ;;
esac
`,
    { mode: 0o755 },
  );
  const env: Record<string, string> = {
    PATH: `${folder}:${Deno.env.get("PATH")}`,
    SUPABASE_URL: url,
    PUBLISHABLE_KEY: publishableKey,
    SUPABASE_SECRET_KEY: secretKey,
    DATABASE_URL: Deno.env.get("BULWARK_TEST_DB_URL") ?? "",
    BULWARK_SCHEDULER_SECRET: schedulerSecret,
    BULWARK_METRICS_TOKEN: metricsToken,
    // A person's terminal has none of the test run's own settings.
    BULWARK_PARENT_PIPE: "",
    NO_COLOR: "1",
  };
  let cwd = inRepository();
  let restartServer = restart;
  return {
    restartWith(other: typeof restart) {
      restartServer = other;
    },
    set(name: string, value: string) {
      env[name] = value;
    },
    enter(path: string) {
      cwd = path;
    },
    async run(text: string): Promise<{ output: string; exitCode: number }> {
      const { code, stdout, stderr } = await new Deno.Command("bash", {
        args: ["-euo", "pipefail", "-c", text],
        cwd,
        env,
        stdin: "null",
      }).output();
      const decoder = new TextDecoder();
      const changed = await Deno.readTextFile(changes).catch(() => "");
      if (changed && code === 0) {
        await Deno.remove(changes);
        await restartServer(changesOf(changed));
      }
      return { output: decoder.decode(stdout) + decoder.decode(stderr), exitCode: code };
    },
    close: () => Deno.remove(folder, { recursive: true }),
  };
}

function changesOf(lines: string): Record<string, string | null> {
  const changed: Record<string, string | null> = {};
  for (const line of lines.trimEnd().split("\n")) {
    const [, verb, name = "", value = ""] = /^(set|unset) (\w+)(?:=(.*))?$/.exec(line) ?? [];
    changed[name] = verb === "unset" ? null : value;
  }
  return changed;
}

/** Restarts the stack with other variables (null: not set), on the same ports and database. */
export async function restart(changed: Record<string, string | null>): Promise<void> {
  const answer = await fetch(Deno.env.get("BULWARK_TEST_RESTART") ?? "", {
    method: "POST",
    body: JSON.stringify(changed),
  });
  assert.equal(answer.status, 204, await answer.text());
}
