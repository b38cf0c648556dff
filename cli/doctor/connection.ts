import process from "node:process";
import postgres from "postgres";
import { CliError } from "../errors.ts";

/** The one transaction that all checks run in. */
export type Transaction = postgres.TransactionSql;

/** A database to examine: how to reach it, and its name without user and password. */
export interface Target {
  url: URL;
  label: string;
  isLocal: boolean;
}

const loopback = /^(localhost|127(\.\d+){3}|\[?::1\]?)$/;

/** Reads a connection string. Errors do not repeat it, because it may hold a password. */
export function parseTarget(text: string): Target {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    const message = "The connection string is no URL: " +
      "percent-encode special characters of its password";
    throw new CliError("CLI_USAGE", message, 2);
  }
  if (!/^postgres(ql)?:$/.test(url.protocol)) {
    throw new CliError("CLI_USAGE", "The connection string does not begin with postgresql://", 2);
  }
  const label = `${url.hostname}:${url.port || 5432}${url.pathname === "" ? "/" : url.pathname}`;
  return { url, label, isLocal: loopback.test(url.hostname) };
}

/**
 * Runs a task in a transaction that cannot write, with short timeouts, and rolls it back. Without an
 * sslmode in the URL, connections to other machines are encrypted.
 * @throws CliError CLI_DATABASE_UNREACHABLE, with the reason but without the URL.
 */
export async function inReadOnlyTransaction<Result>(
  target: Target,
  task: (sql: Transaction) => Promise<Result>,
): Promise<Result> {
  const chosen = target.url.searchParams.has("sslmode") || target.url.searchParams.has("ssl");
  const sql = postgres(target.url.href, {
    max: 1,
    prepare: false, // poolers in transaction mode know no prepared statements
    fetch_types: false,
    onnotice: () => {},
    connect_timeout: 10,
    connection: { application_name: "bulwark doctor" },
    ...chosen || target.isLocal ? {} : { ssl: "require" as const },
  });
  try {
    await sql`select 1`.catch((thrown) => {
      const message = `Cannot connect: ${reasonOf(thrown, target)}`;
      throw new CliError("CLI_DATABASE_UNREACHABLE", message, 2);
    });
    return await sql.begin("isolation level repeatable read read only", async (transaction) => {
      await transaction.unsafe(
        "set local statement_timeout = '30s'; set local lock_timeout = '2s'; " +
          "set local idle_in_transaction_session_timeout = '60s'; " +
          "set local search_path = pg_catalog, pg_temp",
      );
      return await task(transaction);
    }) as Result;
  } finally {
    await sql.end({ timeout: 2 });
  }
}

/** An error's message in one line, without the password. */
function reasonOf(thrown: unknown, target: Target): string {
  const { message = "", code = "" } = thrown as { message?: string; code?: string };
  const text = (message || code || "no reason was given").split("\n")[0] ?? "";
  const secrets = [target.url.password, decoded(target.url.password), process.env.PGPASSWORD];
  return secrets.filter((secret) => secret).reduce<string>(
    (shown, secret) => shown.replaceAll(secret ?? "", "***"),
    text,
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
