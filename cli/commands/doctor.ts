import process from "node:process";
import { parseArgs } from "node:util";
import { packageVersion } from "../contents.ts";
import { inReadOnlyTransaction, parseTarget } from "../doctor/connection.ts";
import { examine } from "../doctor/examination.ts";
import { judge } from "../doctor/finding.ts";
import { readProjectFiles } from "../doctor/project_files.ts";
import { reportOf, textOf } from "../doctor/report.ts";
import { CliError } from "../errors.ts";
import type { Command } from "../main.ts";

/** `bulwark doctor`. It prints no secret. */
export const doctor: Command = {
  summary: "examines a database with Bulwark, and changes nothing",
  help: `Usage: bulwark doctor [--db <url>] [options]

Examines a database as the owner of Bulwark (postgres), and changes nothing. In the folder of a
Supabase project it also reads supabase/config.toml, supabase/functions/.env and
supabase/bulwark.json.

  --db <url>        the database; without it, the variable DATABASE_URL
  --strict          judge a database on this machine like a deployed one
  --json            print the report as JSON
  --workdir <dir>   the project's folder, or one below it (default: the current one)

Exit code: 0 clean (notes are allowed), 1 errors or warnings, 2 the examination was not possible.`,
  async run(args, terminal) {
    try {
      const options = parse(args);
      const address = options.db ?? process.env.DATABASE_URL;
      if (!address) throw usage("Name a database: bulwark doctor --db <url>");
      const target = parseTarget(address);
      const project = readProjectFiles(options.workdir);
      const found = await inReadOnlyTransaction(
        target,
        (sql) => examine(sql, { project, own: packageVersion() }),
      );
      const isLocal = target.isLocal && !options.strict;
      const report = reportOf(target.label, isLocal, found.map((one) => judge(one, isLocal)));
      terminal.print(options.json ? JSON.stringify(report, null, 2) : textOf(report));
      return report.clean ? 0 : 1;
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (!args.includes("--json")) throw failure;
      const error = { code: failure.code, message: failure.message };
      terminal.print(JSON.stringify({ format: 1, error }, null, 2));
      return failure.exitCode;
    }
  },
};

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        db: { type: "string" },
        json: { type: "boolean", default: false },
        strict: { type: "boolean", default: false },
        workdir: { type: "string", default: "." },
      },
      strict: true,
    }).values;
  } catch {
    // The message would repeat an argument, which may be a connection string.
    throw usage("Unknown or incomplete arguments: see bulwark doctor --help");
  }
}

function usage(message: string): CliError {
  return new CliError("CLI_USAGE", message, 2);
}

/** Why there is no report. Of an unexpected error the code alone: its message may hold data. */
function asFailure(thrown: unknown): CliError {
  if (thrown instanceof CliError) return new CliError(thrown.code, thrown.message, 2);
  const { code } = thrown as { code?: unknown };
  const state = typeof code === "string" && /^[0-9A-Z_]+$/.test(code) ? `: ${code}` : "";
  return new CliError("CLI_EXAMINATION_FAILED", `The examination ended early${state}`, 2);
}
