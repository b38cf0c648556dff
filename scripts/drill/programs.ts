/** PostgreSQL's own programs against a server of their version. */
import { join } from "node:path";
import type { Cluster } from "../stack/cluster.ts";
import { Failure } from "../stack/failure.ts";

/** A running server, and the password of the roles that log in. */
export interface Server {
  cluster: Cluster;
  password: string;
}

/** A program of PostgreSQL and its arguments. */
export interface Program {
  name: string;
  args: string[];
  role?: string;
  env?: Record<string, string>;
}

/**
 * Runs a program against a database (null: none) and returns what it printed.
 * @throws Failure PROGRAM_FAILED with what it says
 */
export async function run(
  { cluster, password }: Server,
  database: string | null,
  { name, args, role = "supabase_admin", env = {} }: Program,
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(join(cluster.bin, name), {
    args: [
      ...["--host=127.0.0.1", `--port=${cluster.port}`, `--username=${role}`],
      ...(database === null ? [] : [`--dbname=${database}`]),
      ...args,
    ],
    env: { PGPASSWORD: password, ...env },
  }).output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Failure("PROGRAM_FAILED", `${name}: ${new TextDecoder().decode(stderr).trim()}`);
}
