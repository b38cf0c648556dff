import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { parse } from "../arguments.ts";
import { inReadOnlyTransaction, parseTarget, type Transaction } from "../doctor/connection.ts";
import { CliError, reason } from "../errors.ts";
import type { Command } from "../main.ts";

/** `bulwark types`: the permissions of a database for the types of `@bulwark/client`. */
export const types: Command = {
  summary: "writes the permissions of a database as types for @bulwark/client",
  help: `Usage: bulwark types [--db <url>] [options]

Writes a declaration file with all permissions of the database, so that the client library knows those
of your application too. Commit it; a compiler that includes it does the rest.

  --db <url>        the database; without it, the variable DATABASE_URL
  --out <file>      the file (default: bulwark.d.ts)
  --check           write nothing; exit code 1 if the file is out of date`,
  async run(args, terminal) {
    const { values } = parse(args, {
      db: { type: "string" },
      out: { type: "string", default: "bulwark.d.ts" },
      check: { type: "boolean", default: false },
    });
    const address = values.db ?? process.env.DATABASE_URL;
    if (!address) throw new CliError("CLI_USAGE", "Name a database: bulwark types --db <url>", 2);
    const names = await inReadOnlyTransaction(parseTarget(address), readPermissions);
    const file = resolve(values.out);
    const text = declarationOf(names);
    const isCurrent = existsSync(file) && readFileSync(file, "utf8") === text;
    if (values.check) {
      terminal.print(
        `${values.out} is ${isCurrent ? "current" : "out of date: run bulwark types"}`,
      );
      return isCurrent ? 0 : 1;
    }
    try {
      if (!isCurrent) writeFileSync(file, text);
    } catch (thrown) {
      throw new CliError("CLI_WRITE_FAILED", `Cannot write ${values.out}: ${reason(thrown)}`);
    }
    terminal.print(`${values.out}: ${names.length} permissions`);
    return 0;
  },
};

async function readPermissions(sql: Transaction): Promise<string[]> {
  const [found] = await sql`select to_regclass('bulwark.permissions') is not null as installed`;
  if (!found?.installed) {
    throw new CliError(
      "CLI_NOT_IN_DATABASE",
      "The database has no Bulwark: push its migrations",
      2,
    );
  }
  const rows = await sql<{ name: string }[]>`
    select p.name from bulwark.permissions p order by p.name collate "C"`;
  return rows.map(({ name }) => name);
}

/** A declaration that merges with the client's own. */
export function declarationOf(permissions: readonly string[]): string {
  const keys = permissions.map((name) => `    ${JSON.stringify(name)}: true;\n`).join("");
  return `// Written by bulwark types from the table bulwark.permissions.
export {};

declare module "@bulwark/client" {
  interface Permissions {
${keys}  }
}
`;
}
