import { resolve } from "node:path";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { Failure, reason } from "./failure.ts";

/** A command's options, by name. */
type Options = NonNullable<ParseArgsConfig["options"]>;

/** How many arguments there are besides the options, and all of them. */
interface Given {
  /** At most so many, 0 by default: a stray one would be ignored without a word. */
  positionals?: number;
  args?: string[];
}

/**
 * Parses command-line arguments.
 * @throws Failure USAGE, with the usage, for an unknown or incomplete option or a stray argument
 */
export function parseArguments<const Known extends Options>(
  options: Known,
  usage: string,
  { positionals: most = 0, args = Deno.args }: Given = {},
) {
  try {
    const parsed = parseArgs({ args, options, allowPositionals: true, strict: true });
    if (parsed.positionals.length <= most) return parsed;
  } catch (thrown) {
    throw wrongUsage(reason(thrown).split(". To")[0] ?? "", usage);
  }
  throw wrongUsage("There is an argument too many", usage);
}

/** The failure for arguments that make no sense, with exit code 2. */
export function wrongUsage(problem: string, usage: string): Failure {
  return new Failure("USAGE", `${problem}; usage: ${usage}`, 2);
}

/** A port given as an option, or undefined. */
export function portOption(name: string, value: string | boolean | undefined): number | undefined {
  if (value === undefined) return undefined;
  const port = Number(value);
  if (Number.isInteger(port) && port >= 0 && port <= 65535) return port;
  throw new Failure("USAGE", `--${name} must be a port number, 0 to 65535`, 2);
}

/** A path given as an option, absolute; undefined without the option. */
export function pathOption(value: string | boolean | undefined): string | undefined {
  return typeof value === "string" ? resolve(value) : undefined;
}
