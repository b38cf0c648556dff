/**
 * Runs the pages of `docs/runbooks`: a test does not repeat a page's commands, it takes them from
 * the page, so that the two cannot differ.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { type Block, blocksOf } from "../../scripts/documents/blocks.ts";
import { textOf } from "../../scripts/documents/markdown.ts";
import { filled, openShell } from "../shell.ts";
import { connect } from "../support.ts";
import { type ServedFunction, serveFunction } from "./served_function.ts";

export { restart } from "../shell.ts";

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

/** A test that runs a page; it fails for a block that it did not run. */
export function runbookTest(
  claim: string,
  page: string,
  test: (runbook: Runbook, sql: postgres.Sql) => Promise<void>,
): void {
  Deno.test(claim, async () => {
    const text = await textOf(join("docs", "runbooks", `${page}.md`));
    const blocks = blocksOf(text).filter(({ kind }) => kind === "run");
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

/** Runs statements as the SQL editor does: as `postgres`, and returns the rows of the last. */
async function query(sql: postgres.Sql, text: string): Promise<Record<string, unknown>[]> {
  const result = await sql.unsafe(text).simple() as unknown as unknown[];
  const sets = Array.isArray(result[0]) ? result as unknown[][] : [result];
  return [...sets.at(-1) ?? []] as Record<string, unknown>[];
}
