import process from "node:process";
import { CliError } from "./errors.ts";

/** Talks to the user: prints lines, and asks where somebody can answer. */
export interface Terminal {
  /** Whether questions can be answered: both ends are a terminal. */
  interactive: boolean;
  print(line: string): void;
  confirm(question: string): Promise<boolean>;
  select<T extends string>(question: string, options: Option<T>[]): Promise<T>;
  selectMany<T extends string>(question: string, options: Option<T>[]): Promise<T[]>;
}

/** An answer to choose. */
export interface Option<T extends string> {
  value: T;
  label: string;
  hint?: string;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  return {
    interactive: Boolean(process.stdin.isTTY && process.stdout.isTTY),
    print: (line) => void process.stdout.write(`${line}\n`),
    async confirm(question) {
      const { confirm } = await prompts();
      return answer(await confirm({ message: question }));
    },
    async select(question, options) {
      const { select } = await prompts();
      return answer(await select({ message: question, options: options as never })) as never;
    },
    async selectMany(question, options) {
      const { multiselect } = await prompts();
      const message = `${question} (space selects, enter goes on)`;
      const chosen = await multiselect({ message, options: options as never, required: false });
      return answer(chosen) as never;
    },
  };
}

/** Loaded when something is asked. */
function prompts(): Promise<typeof import("@clack/prompts")> {
  // Some terminals, as of containers, have no size; a question would be one letter a line.
  if (!process.stdout.columns) process.stdout.columns = 80;
  return import("@clack/prompts");
}

/** An answer, unless Ctrl-C or Escape was pressed. */
function answer<T>(value: T): Exclude<T, symbol> {
  if (typeof value !== "symbol") return value as Exclude<T, symbol>;
  throw new CliError("CLI_CANCELLED", "Cancelled: nothing was written", 130);
}
