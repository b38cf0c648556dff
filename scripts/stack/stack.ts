import { serveBlocks } from "./blocks.ts";
import { serveApiDocs } from "./api_docs.ts";
import { embeddedPostgres, exists, type PostgresInstallation } from "./binaries.ts";
import { startCluster } from "./cluster.ts";
import { serveConsole } from "./console.ts";
import { withCors } from "./cors.ts";
import { serveDocs } from "./docs.ts";
import { Failure, reason } from "./failure.ts";
import { mountFunctions, setFunctionEnvironment } from "./functions.ts";
import { claim } from "./instance.ts";
import { type Lite, serveLite } from "./lite.ts";
import { requireKeys } from "./lost_keys.ts";
import { migrate } from "./migrate.ts";
import { inRepository, stackPaths } from "./paths.ts";
import { preparePlatform } from "./platform.ts";
import { stopServer } from "./postmaster.ts";
import { migrateAuth, requireAuthProgram, serveAuth } from "./real_auth.ts";
import { requirePostgrestProgram, servePostgrest } from "./real_postgrest.ts";
import { loadSecrets, type Secrets } from "./secrets.ts";
import { type DemoAccount, seed } from "./seed.ts";
import { listen } from "./server.ts";
import { startTimers } from "./timers.ts";

/** How to start a stack. */
export interface StackOptions {
  /** The folder it keeps everything in; `.bulwark` by default. */
  folder?: string | undefined;
  /** The HTTP port; 0 takes a free one. */
  port: number;
  /** The database's port; a free one by default. */
  databasePort?: number | undefined;
  /** Deletes the database first. Keys and passwords stay. */
  reset?: boolean;
  /** A program of Supabase Auth that serves in Lite's place. */
  authBinary?: string | undefined;
  /** A program of PostgREST that serves in Lite's place. */
  postgrestBinary?: string | undefined;
  /** Another Postgres than the embedded one. */
  postgres?: PostgresInstallation | undefined;
  /** Goes on without the keys that are lost, and what depends on them. */
  lostKeys?: boolean;
}

/** A stack that serves. */
export interface Stack {
  url: string;
  databasePort: number;
  secrets: Secrets;
  demo: DemoAccount[];
  stop(): Promise<void>;
}

/**
 * Starts everything: database, migrations, demo, REST, Auth and edge functions. When any part
 * fails, what was started is stopped again and nothing stored is lost.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const started: { stop(): Promise<unknown> }[] = [];
  let stopping: Promise<void> | undefined;
  const stopAll = async () => {
    for (const part of started.reverse()) await part.stop();
  };
  const stop = () => stopping ??= stopAll();
  try {
    return { ...await assemble(options, (part) => started.push({ stop: part })), stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

async function assemble(
  options: StackOptions,
  onStop: (stop: () => Promise<unknown>) => void,
): Promise<Omit<Stack, "stop">> {
  const paths = stackPaths(options.folder);
  const { authBinary, postgrestBinary } = options;
  if (authBinary) await requireAuthProgram(authBinary);
  if (postgrestBinary) await requirePostgrestProgram(postgrestBinary);
  const instance = await claim(paths);
  onStop(instance.release);
  const server = listen(options.port);
  onStop(server.close);
  const url = `http://127.0.0.1:${server.port}`;

  if (options.reset) {
    await stopServer(paths.database);
    await Deno.remove(paths.database, { recursive: true }).catch(ignoreMissing);
  }
  const lost = { goOn: options.lostKeys ?? false, tell: (line: string) => console.error(line) };
  const secrets = await loadSecrets(paths.secrets, { exists: exists(paths.database), lost });
  const password = secrets.databasePassword;
  const cluster = await startCluster({
    installation: options.postgres ?? embeddedPostgres(),
    folder: paths.database,
    log: paths.postgresLog,
    password,
    port: options.databasePort,
    restart: (message) => console.error(message),
  });
  onStop(cluster.stop);
  const { folder } = paths;
  const auth = authBinary && { binary: authBinary, folder, cluster, secrets, url };
  await checkPassword(
    () => preparePlatform(cluster, password, auth ? () => migrateAuth(auth) : undefined),
    paths.secrets,
  );
  await migrate({ cluster, password });
  await requireKeys(cluster, { values: secrets, file: paths.secrets }, lost);
  const demo = await seed(cluster, secrets);

  const routes = await serveApis();
  setFunctionEnvironment(url, secrets);
  const functions = mountFunctions(inRepository("supabase", "functions"));
  server.open([
    { prefix: "/rest/v1/", fetch: withCors(routes.rest) },
    { prefix: "/auth/v1/", fetch: withCors(routes.auth) },
    { prefix: "/functions/v1/", fetch: functions.fetch },
    serveBlocks(),
    serveApiDocs(),
    serveDocs(),
    serveConsole({ publishableKey: secrets.publishableKey }),
  ]);
  const timers = startTimers({
    databaseUrl: cluster.url("postgres", password),
    url,
    schedulerSecret: secrets.schedulerSecret,
  });
  onStop(timers.stop);
  // Stopping begins here too: no more requests before what they need goes away.
  onStop(server.close);
  await instance.publish({
    url,
    publishableKey: secrets.publishableKey,
    databasePort: cluster.port,
    pid: Deno.pid,
  });
  return { url, databasePort: cluster.port, secrets, demo };

  /** The Data API and Auth: real programs where they are given, Lite for the rest. */
  async function serveApis(): Promise<Pick<Lite, "rest" | "auth">> {
    const real: Partial<Pick<Lite, "rest" | "auth">> = {};
    if (auth) {
      const service = await serveAuth(auth);
      onStop(service.stop);
      real.auth = service.fetch;
    }
    if (postgrestBinary) {
      const service = await servePostgrest({ binary: postgrestBinary, folder, cluster, secrets });
      onStop(service.stop);
      real.rest = service.fetch;
    }
    if (real.rest && real.auth) return { rest: real.rest, auth: real.auth };
    const lite = await serveLite({
      loginUrl: (role) => cluster.url(role, password),
      siteUrl: url,
      secrets,
    });
    onStop(lite.close);
    return { rest: lite.rest, auth: lite.auth, ...real };
  }
}

/** A wrong password means that the secrets are not those of the data folder. */
async function checkPassword(connectFirst: () => Promise<void>, secrets: string): Promise<void> {
  try {
    await connectFirst();
  } catch (thrown) {
    if (!reason(thrown).includes("password authentication failed")) throw thrown;
    throw new Failure(
      "WRONG_PASSWORD",
      `Cannot log in to the database: POSTGRES_PASSWORD (in ${secrets} unless the environment ` +
        "sets it) is not the one it was made with; restore it, or start over with " +
        "npm start -- --reset",
    );
  }
}

function ignoreMissing(thrown: unknown): void {
  if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
}
