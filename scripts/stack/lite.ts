import { createHash } from "node:crypto";
import { App } from "@supabase/lite";
import { createPostgresConnection, type PostgresConnection } from "@supabase/lite/postgres";
import { backoff, guardConnections, isConnectionError } from "./connection.ts";
import { refuseOddClaims } from "./odd_claims.ts";
import { inRepository } from "./paths.ts";
import { asPostgrestError, databaseAway } from "./postgrest_errors.ts";
import { withPreRequest } from "./pre_request.ts";
import { readSchemaFor } from "./schema_cache.ts";
import type { Secrets } from "./secrets.ts";

/** The Data API and Auth. */
export interface Lite {
  /** Serves `/rest/v1`. */
  rest(request: Request): Promise<Response>;
  /** Serves `/auth/v1`. */
  auth(request: Request): Promise<Response>;
  close(): Promise<void>;
}

const addition = () => Deno.readTextFile(inRepository("scripts", "stack", "auth.sql"));

/** The comment of an auth schema that the present sources made. */
export async function authSources(): Promise<string> {
  const manifest = inRepository("node_modules", "@supabase", "lite", "package.json");
  const { version } = JSON.parse(await Deno.readTextFile(manifest));
  const hash = createHash("sha256").update(await addition()).digest("hex");
  return `Made by Lite ${version} and auth.sql ${hash.slice(0, 16)}`;
}

/** Creates or extends the auth schema, logged in as its owner. To be called before migrations. */
export async function makeAuthSchema(authAdminUrl: string): Promise<void> {
  const connection = createPostgresConnection({ url: authAdminUrl, postgresOptions: quiet });
  try {
    // Lite's own migration history stays off: it would take the name that `db push` uses.
    const app = new App({
      connection,
      auth: { enabled: true, jwt_secret: "unused: nothing is signed here" },
      db: { migrations: { enabled: false } },
    });
    await app.ensureSystemSchema();
    await connection.exec(await addition());
    await connection.exec(`comment on schema auth is '${await authSources()}'`);
  } finally {
    await connection.close();
  }
}

/** The roles that Lite logs in as. */
type LiteLogin = "authenticator" | "supabase_admin" | "supabase_auth_admin";

/**
 * Serves REST and Auth from a database, with `public` and `bulwark` exposed. As on hosted, REST logs in
 * as authenticator, which has no rights of its own, and Auth as the owner of its schema. Lite has one
 * connection for both: it is Auth's, and takes for requests with a role that of REST. Lite sees only the
 * tables that a login may use, so a superuser reads the schema.
 */
export async function serveLite(
  options: { loginUrl(role: LiteLogin): string; siteUrl: string; secrets: Secrets },
): Promise<Lite> {
  const open = (role: LiteLogin, max: number) => {
    const connection = createPostgresConnection({
      url: options.loginUrl(role),
      postgresOptions: { ...quiet, max, backoff, types: { bytea } },
    });
    trustGrants(connection);
    writeJsonOnce(connection);
    const normalize = connection.normalizeDbError.bind(connection);
    connection.normalizeDbError = (thrown) => asPostgrestError(normalize(thrown));
    return connection;
  };
  const connection = open("supabase_auth_admin", 10);
  const restConnection = open("authenticator", 20);
  const schemaConnection = open("supabase_admin", 1);
  const withContext = connection.withContext.bind(connection);
  const inContext: typeof withContext = (vars, run, options) =>
    vars ? restConnection.withContext(vars, run, options) : withContext(vars, run, options);
  Object.assign(connection, { withContext: inContext });
  const guard = guardConnections();
  const schemaChanged = readSchemaFor(schemaConnection, connection, guard);

  const app = new App({
    connection,
    api: { schemas: ["public", "bulwark"], max_rows: 1000 },
    auth: {
      enabled: true,
      jwt_secret: options.secrets.jwtSecret,
      publishable_key: options.secrets.publishableKey,
      secret_key: options.secrets.secretKey,
      site_url: options.siteUrl,
      jwt_expiry: 3600,
      minimum_password_length: 8,
      email: { enable_confirmations: false },
    },
    db: { migrations: { enabled: false } },
    studio: { enabled: false },
    options: { server: { admin: false, disableStudio: true } },
  });
  await app.init();

  const auth = async (request: Request) =>
    refuseOddClaims(request) ??
      await guard.during(app.fetch(request, { peerAddress: null })).catch((thrown) => {
        if (!isConnectionError(thrown)) throw thrown;
        return Response.json(databaseAway, { status: 503 });
      });
  const rest = await withPreRequest(restConnection, auth);
  const reload = () => {
    schemaChanged();
    rest.reload().catch((thrown) => console.error("rest: cannot reload", thrown));
  };
  // As in PostgREST: `notify pgrst` reloads the schema and the settings, and so does a new connection,
  // because one may have been missed.
  await restConnection.driver.listen("pgrst", reload, reload);
  await connection.introspect({ useCache: true });

  return {
    rest: rest.fetch,
    auth,
    async close() {
      await Promise.all(
        [restConnection, connection, schemaConnection]
          .map(({ driver }) => driver.end({ timeout: 1 })),
      );
      guard.stop();
    },
  };
}

/**
 * Stops Lite from granting every table to every API role, which it does on its first request to
 * make row-level security reachable: here the migrations decide who may reach what.
 */
function trustGrants(connection: PostgresConnection): void {
  Object.assign(connection, { rlsState: "active" });
}

/**
 * Stops the driver from writing as JSON what Lite has written as JSON before: an object or a number
 * given to a function's json argument would arrive there as a string. A string that looks like one
 * arrives as the object or number, because Lite writes both alike.
 */
function writeJsonOnce(connection: PostgresConnection): void {
  const written = /^(?:[[{]|(?:true|false|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$)/;
  const { serializers } = connection.driver.options as unknown as {
    serializers: Record<number, (value: unknown) => unknown>;
  };
  for (const type of [114, 3802]) {
    serializers[type] = (value) =>
      typeof value === "string" && written.test(value) ? value : JSON.stringify(value);
  }
}

/** Bytes are text in JSON, as Postgres writes and reads it. */
const bytea = { to: 17, from: [17], serialize: String, parse: (text: string) => text };

const quiet = { onnotice: () => {} };
