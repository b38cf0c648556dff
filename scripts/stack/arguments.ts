import { resolve } from "node:path";
import { parseArgs as parse } from "node:util";
import { Failure, reason } from "./failure.ts";

/** A command's options, by name. */
type Options = Record<string, { type: "string" | "boolean"; short?: string }>;

/** Parses command-line arguments; an unknown or incomplete option is a Failure with the usage. */
export function parseArguments(options: Options, usage: string, args = Deno.args) {
  try {
    const { values, positionals } = parse({ args, options, allowPositionals: true, strict: true });
    return { values: values as Record<string, string | boolean | undefined>, positionals };
  } catch (thrown) {
    throw new Failure("USAGE", `${reason(thrown).split(". To")[0]}; usage: ${usage}`, 2);
  }
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
