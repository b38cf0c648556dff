import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { connect } from "./connection.ts";
import { Failure } from "./failure.ts";
import { throughGateway, type Upstream } from "./gateway.ts";
import { freePort } from "./ports.ts";
import type { Secrets } from "./secrets.ts";
import { passedOn, requireProgram, runToEnd, type Service, startService } from "./service.ts";

/** How to run a real Supabase Auth. */
export interface RealAuthOptions {
  binary: string;
  /** The stack's folder, for the log. */
  folder: string;
  cluster: Cluster;
  secrets: Pick<Secrets, "databasePassword" | "jwtSecret" | "publishableKey" | "secretKey">;
  /** The stack's own URL. */
  url: string;
}

const name = "Supabase Auth";

/** The hooks that docs/deployment.md tells hosted projects to choose. */
const hooks = {
  CUSTOM_ACCESS_TOKEN: "custom_access_token_hook",
  PASSWORD_VERIFICATION_ATTEMPT: "password_verification_attempt_hook",
  MFA_VERIFICATION_ATTEMPT: "mfa_verification_attempt_hook",
};

/** Refuses a file that is no Supabase Auth. */
export function requireAuthProgram(binary: string): Promise<void> {
  return requireProgram({ name, binary, args: ["help"], says: /\b(gotrue|supabase auth)\b/i });
}

/** Creates or upgrades the auth schema by Auth's own migrations, as supabase_auth_admin. */
export async function migrateAuth(options: RealAuthOptions): Promise<void> {
  await runToEnd({
    name,
    binary: options.binary,
    args: ["migrate"],
    env: environment(options, 0),
    log: logOf(options),
  });
}

/** Serves Auth, with Bulwark's hooks; they must be installed. */
export async function serveAuth(
  options: RealAuthOptions,
): Promise<{ fetch(request: Request): Promise<Response>; stop: Service["stop"] }> {
  const port = freePort();
  const { url, stop } = await startService({
    name,
    binary: options.binary,
    args: ["serve"],
    env: environment(options, port),
    port,
    healthPath: "/health",
    log: logOf(options),
  });
  const upstream: Upstream = {
    prefix: "/auth/v1",
    url,
    open: /^\/(verify|callback|authorize|health|\.well-known\/.*)$/,
  };
  return { fetch: throughGateway(upstream, options.secrets), stop };
}

/**
 * Refuses a database whose auth schema was made by the other of Lite and Supabase Auth: neither can
 * go on with the other's. A new database is nobody's.
 */
export async function requireSameAuth(adminUrl: string, isReal: boolean): Promise<void> {
  const admin = connect(adminUrl);
  try {
    const [made] = await admin`
      select to_regclass('auth.users') is not null as any,
        to_regclass('auth.schema_migrations') is not null as real
    `;
    if (!made?.["any"] || made["real"] === isReal) return;
  } finally {
    await admin.end();
  }
  throw new Failure(
    "OTHER_AUTH",
    "Cannot start: the database was made " + (isReal ? "without --auth-bin" : "with --auth-bin") +
      "; start as before, set BULWARK_DATA_DIR to another folder, or start over with --reset",
  );
}

function environment(
  { cluster, secrets, url }: RealAuthOptions,
  port: number,
): Record<string, string> {
  return {
    GOTRUE_DB_DRIVER: "postgres",
    DATABASE_URL: cluster.url("supabase_auth_admin", secrets.databasePassword),
    GOTRUE_API_HOST: "127.0.0.1",
    PORT: String(port),
    API_EXTERNAL_URL: `${url}/auth/v1`,
    GOTRUE_SITE_URL: url,
    GOTRUE_JWT_SECRET: secrets.jwtSecret,
    GOTRUE_JWT_EXP: "3600",
    GOTRUE_JWT_AUD: "authenticated",
    GOTRUE_JWT_DEFAULT_GROUP_NAME: "authenticated",
    GOTRUE_JWT_ADMIN_ROLES: "service_role",
    GOTRUE_JWT_ISSUER: `${url}/auth/v1`,
    GOTRUE_EXTERNAL_EMAIL_ENABLED: "true",
    GOTRUE_EXTERNAL_ANONYMOUS_USERS_ENABLED: "true",
    GOTRUE_MAILER_AUTOCONFIRM: "true",
    GOTRUE_PASSWORD_MIN_LENGTH: "8",
    GOTRUE_MFA_TOTP_ENROLL_ENABLED: "true",
    GOTRUE_MFA_TOTP_VERIFY_ENABLED: "true",
    ...Object.fromEntries(
      Object.entries(hooks).flatMap(([hook, functionName]) => [
        [`GOTRUE_HOOK_${hook}_ENABLED`, "true"],
        [`GOTRUE_HOOK_${hook}_URI`, `pg-functions://postgres/bulwark/${functionName}`],
      ]),
    ),
    ...passedOn("GOTRUE_"),
  };
}

function logOf({ folder }: RealAuthOptions): string {
  return join(folder, "auth.log");
}
