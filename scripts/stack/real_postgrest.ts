import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { throughGateway } from "./gateway.ts";
import { freePort } from "./ports.ts";
import type { Secrets } from "./secrets.ts";
import { passedOn, requireProgram, type Service, startService } from "./service.ts";

/** How to run a real PostgREST. */
export interface RealPostgrestOptions {
  binary: string;
  /** The stack's folder, for the log. */
  folder: string;
  cluster: Cluster;
  secrets: Secrets;
}

const name = "PostgREST";

/** Refuses a file that is no PostgREST. */
export function requirePostgrestProgram(binary: string): Promise<void> {
  return requireProgram({ name, binary, args: ["--version"], says: /^PostgREST \d+\./m });
}

/** Serves the Data API as authenticator, with `public` and `bulwark` exposed. */
export async function servePostgrest(
  options: RealPostgrestOptions,
): Promise<{ fetch(request: Request): Promise<Response>; stop: Service["stop"] }> {
  const port = freePort();
  const adminPort = freePort();
  const { stop } = await startService({
    name,
    binary: options.binary,
    args: [],
    env: postgrestEnvironment(options, port, adminPort),
    // Its other port says when it has read the schema.
    port: adminPort,
    healthPath: "/ready",
    log: join(options.folder, "postgrest.log"),
  });
  const upstream = { prefix: "/rest/v1", url: `http://127.0.0.1:${port}` };
  return { fetch: throughGateway(upstream, options.secrets), stop };
}

/**
 * PostgREST's settings, in its environment, so that no secret is in a file. The pre-request hook is
 * not among them: it is a setting of the role authenticator, which PostgREST reads itself.
 */
export function postgrestEnvironment(
  { cluster, secrets }: Pick<RealPostgrestOptions, "cluster" | "secrets">,
  port: number,
  adminPort: number,
): Record<string, string> {
  return {
    PGRST_DB_URI: cluster.url("authenticator", secrets.databasePassword),
    PGRST_DB_SCHEMAS: "public,bulwark",
    PGRST_DB_EXTRA_SEARCH_PATH: "public,extensions",
    PGRST_DB_ANON_ROLE: "anon",
    PGRST_DB_MAX_ROWS: "1000",
    PGRST_JWT_SECRET: secrets.jwtSecret,
    PGRST_SERVER_HOST: "127.0.0.1",
    PGRST_SERVER_PORT: String(port),
    PGRST_ADMIN_SERVER_PORT: String(adminPort),
    ...passedOn("PGRST_"),
  };
}
