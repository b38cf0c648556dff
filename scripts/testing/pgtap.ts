import { connect } from "../stack/connection.ts";
import { inRepository } from "../stack/paths.ts";
import { parseTap } from "./tap.ts";
import type { TestResult } from "./result.ts";

/**
 * Runs one pgTAP file as it is, in one go and on one connection, the way psql feeds it to
 * `supabase test db`. An SQL error ends the file and is reported with its line.
 */
export async function runPgtap(path: string, url: string): Promise<TestResult> {
  const source = await Deno.readTextFile(inRepository(path));
  const lines: string[] = [];
  const sql = connect(url);
  let error: string | null = null;
  try {
    await sql.unsafe(source).simple().forEach((row: Record<string, unknown>) => {
      lines.push(...Object.values(row).map(String));
    });
  } catch (thrown) {
    error = describe(thrown, path, source);
  } finally {
    await sql.end({ timeout: 1 });
  }
  const result = parseTap(lines.join("\n"));
  return error ? { ...result, failures: [...result.failures, error] } : result;
}

function describe(thrown: unknown, path: string, source: string): string {
  if (!(thrown instanceof Error)) return `${path}: ${thrown}`;
  const { code = "", position, detail = "", where = "" } = thrown as Error & Record<string, string>;
  const line = position ? `:${source.slice(0, Number(position)).split("\n").length}` : "";
  const more = [detail, where.split("\n")[0]].filter(Boolean).join("; ");
  return `${path}${line}: ERROR ${code} ${thrown.message}${more ? ` (${more})` : ""}`;
}
