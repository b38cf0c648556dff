import process from "node:process";
import { add } from "./commands/add.ts";
import { doctor } from "./commands/doctor.ts";
import { init } from "./commands/init.ts";
import { types } from "./commands/types.ts";
import { uninstall } from "./commands/uninstall.ts";
import { upgrade } from "./commands/upgrade.ts";
import { packageVersion } from "./contents.ts";
import { CliError, reason } from "./errors.ts";
import { processTerminal, type Terminal } from "./terminal.ts";

/** A command: its line in the overview, its help, and what it does with its arguments. */
export interface Command {
  summary: string;
  help: string;
  /** @returns the exit code */
  run(args: string[], terminal: Terminal): Promise<number>;
}

const commands: Record<string, Command> = { init, add, upgrade, doctor, types, uninstall };

const overview = [
  "Usage: bulwark <command>",
  "",
  ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`),
  "",
  "bulwark <command> --help describes a command; bulwark --version prints the version.",
].join("\n");

/** Runs a command and returns its exit code: 0 done, 1 refused, 2 wrong usage, 130 cancelled. */
export async function main(args: string[], terminal = processTerminal()): Promise<number> {
  const [name = "--help", ...rest] = args;
  try {
    const text = { "--version": packageVersion, "-v": packageVersion }[name] ??
      (["--help", "-h", "help"].includes(name) ? () => overview : null);
    if (text && rest.length > 0) {
      throw new CliError("CLI_USAGE", `${name} takes no argument: see bulwark --help`, 2);
    }
    if (text) return say(text());
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (!command) {
      throw new CliError("CLI_USAGE", `There is no command ${name}: see bulwark --help`, 2);
    }
    if (rest.includes("--help") || rest.includes("-h")) return say(command.help);
    return await command.run(rest, terminal);
  } catch (thrown) {
    return report(thrown);
  }

  function say(text: string): number {
    terminal.print(text);
    return 0;
  }
}

/**
 * Prints an error as one line with its code, and returns the exit code. Only a defect of the command
 * has no code of its own.
 */
export function report(thrown: unknown): number {
  const error = thrown instanceof CliError
    ? thrown
    : new CliError("CLI_DEFECT", `Cannot go on, and that is a defect: ${reason(thrown)}`);
  process.stderr.write(`bulwark: ${error.message} (${error.code})\n`);
  if (process.env.BULWARK_DEBUG && thrown instanceof Error) {
    process.stderr.write(`${thrown.stack}\n`);
  }
  return error.exitCode;
}
