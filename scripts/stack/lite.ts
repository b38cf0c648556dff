import { App } from "@supabase/lite";
import { createPostgresConnection, type PostgresConnection } from "@supabase/lite/postgres";
import { backoff, connect, guardConnections, isConnectionError } from "./connection.ts";
import { refuseOddClaims } from "./odd_claims.ts";
import { inRepository } from "./paths.ts";
import { asPostgrestError, databaseAway } from "./postgrest_errors.ts";
import { withPreRequest } from "./pre_request.ts";
import type { Secrets } from "./secrets.ts";

/** The Data API and Auth. */
export interface Lite {
  /** Serves `/rest/v1`. */
  rest(request: Request): Promise<Response>;
  /** Serves `/auth/v1`. */
  auth(request: Request): Promise<Response>;
  close(): Promise<void>;
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
    await connection.exec(await Deno.readTextFile(inRepository("scripts", "stack", "auth.sql")));
  } finally {
    await connection.close();
  }
}

/**
 * Lets Lite see the tables that it serves. It has one login for everything, where hosted has one
 * for PostgREST and one for Auth, so authenticator inherits here what it must assume there. Only
 * ever run on a database that Lite serves; tests of the rules use one without it.
 */
export async function admitLite(adminUrl: string): Promise<void> {
  const admin = connect(adminUrl);
  try {
    const [{ major } = {}] = await admin`
      select current_setting('server_version_num')::integer / 10000 as major
    `;
    // Before 16 a role inherits all of its roles, or none.
    if (major < 16) await admin`alter role authenticator inherit`;
    await admin.unsafe(
      "grant anon, authenticated, service_role, supabase_auth_admin to authenticator" +
        (major < 16 ? "" : " with inherit true"),
    );
  } finally {
    await admin.end();
  }
}

/** Serves REST and Auth from a database, with `public` and `bulwark` exposed. */
export async function serveLite(
  options: { authenticatorUrl: string; siteUrl: string; secrets: Secrets },
): Promise<Lite> {
  const connection = createPostgresConnection({
    url: options.authenticatorUrl,
    postgresOptions: { ...quiet, max: 20, backoff },
  });
  trustGrants(connection);
  writeJsonOnce(connection);
  const normalize = connection.normalizeDbError.bind(connection);
  connection.normalizeDbError = (thrown) => asPostgrestError(normalize(thrown));

  const guard = guardConnections();
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
  await connection.introspect({ useCache: true });

  const auth = async (request: Request) =>
    refuseOddClaims(request) ??
      await guard.during(app.fetch(request, { peerAddress: null })).catch((thrown) => {
        if (!isConnectionError(thrown)) throw thrown;
        return Response.json(databaseAway, { status: 503 });
      });
  const rest = await withPreRequest(connection, auth);
  // As in PostgREST: `notify pgrst` reloads the schema and the settings.
  await connection.driver.listen("pgrst", () => {
    connection.clearSchemaCache();
    rest.reload().catch((thrown) => console.error("rest: cannot reload", thrown));
  });

  return {
    rest: rest.fetch,
    auth,
    async close() {
      await connection.driver.end({ timeout: 1 });
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

const quiet = { onnotice: () => {} };
