import { parseArgs, type ParseArgsConfig } from "node:util";
import { CliError, reason } from "./errors.ts";

/** The options that each command has. */
export const commonOptions = {
  workdir: { type: "string", default: "." },
  "dry-run": { type: "boolean", default: false },
  yes: { type: "boolean", short: "y", default: false },
  db: { type: "string" },
} as const;

/** The lines of the help about them. */
export const commonHelp =
  `  --db <url>        also look into this database; nothing is changed there
  --dry-run         show what would be done, and write nothing
  --yes, -y         ask nothing
  --workdir <dir>   the project's folder, or one below it (default: the current one)`;

/** Parses arguments strictly; an unknown one is wrong usage. */
export function parse<Options extends NonNullable<ParseArgsConfig["options"]>>(
  args: string[],
  options: Options,
  allowPositionals = false,
) {
  try {
    return parseArgs({ args, options, allowPositionals, strict: true });
  } catch (thrown) {
    // A value is not repeated: it may be a connection string with a password.
    const option = /'(--?[a-z][a-z-]*)/.exec(reason(thrown))?.[1];
    const what = option ? `Unknown or incomplete option ${option}` : "Unexpected argument";
    throw new CliError("CLI_USAGE", `${what}: see --help`, 2);
  }
}
