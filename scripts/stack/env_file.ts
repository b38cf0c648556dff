import { exists } from "./binaries.ts";
import { inRepository } from "./paths.ts";

/**
 * Sets the variables of the repository's `.env` that the environment does not have, for this process
 * and its children. `BULWARK_ENV_FILE` names another file; where it is empty, none is read.
 */
export function readEnvFile(): void {
  const file = Deno.env.get("BULWARK_ENV_FILE") ?? inRepository(".env");
  if (!exists(file)) return;
  for (const [name, value] of Object.entries(parseEnv(Deno.readTextFileSync(file)))) {
    if (Deno.env.get(name) === undefined) Deno.env.set(name, value);
  }
}

/** Reads `NAME=value` lines; `#` starts a comment line and a value may be quoted. */
export function parseEnv(text: string): Record<string, string> {
  const pairs: [string, string][] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line);
    const [, name, value] = match ?? [];
    if (name && value) pairs.push([name, value.replace(/^(["'])(.*)\1$/, "$2")]);
  }
  return Object.fromEntries(pairs);
}
