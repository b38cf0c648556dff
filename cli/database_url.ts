import { CliError } from "./errors.ts";

/**
 * How the database of `--db` is connected: encrypted if it can be, unless its address says how.
 * @throws CliError if it is no address; nothing of it is repeated, because it may hold a password
 */
export function connectionOf(url: string): { ssl?: "prefer" } {
  // Anything else would be a database of this machine for the driver.
  if (!/^postgres(ql)?:\/\//.test(url)) {
    const message = url.trim() === ""
      ? "--db is empty: is its variable set?"
      : "--db needs an address as postgresql://user:password@host:port/database";
    throw new CliError("CLI_USAGE", message, 2);
  }
  let query: URLSearchParams;
  try {
    // A list of hosts is no URL.
    const parsed = new URL(url.replace(/@[^/@?]*(?=[/?]|$)/, "@host"));
    decodeURIComponent(parsed.username + parsed.password);
    query = parsed.searchParams;
  } catch {
    const message = "Cannot read the address of --db: write special characters of its password " +
      "percent-encoded, as %23 for #";
    throw new CliError("CLI_USAGE", message, 2);
  }
  return query.has("sslmode") || query.has("ssl") ? {} : { ssl: "prefer" };
}
