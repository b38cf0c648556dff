import { join } from "node:path";
import { exists, type PostgresInstallation } from "./binaries.ts";
import { dataVersion, makeDataFolder } from "./data_folder.ts";
import { Failure } from "./failure.ts";
import { asDatabaseUser, giveToDatabaseUser, type OsUser } from "./os_user.ts";
import { freePort } from "./ports.ts";
import { isReady, stopServer } from "./postmaster.ts";
import { stopWithParent } from "./watchdog.ts";

/** The options of a cluster. */
export interface ClusterOptions {
  installation: PostgresInstallation;
  /** The data folder; made when missing. */
  folder: string;
  /** The server's log file; emptied at every start. */
  log: string;
  /** The password of the superuser `supabase_admin`. */
  password: string;
  /** A fixed port; without it a free one is taken. */
  port?: number | undefined;
  /** Server settings on top of the defaults. */
  settings?: Record<string, string>;
  /**
   * Restarts the server on the same port if it ends by itself; called with messages for the user.
   */
  restart?: ((message: string) => void) | undefined;
}

/** A running Postgres server. */
export interface Cluster {
  port: number;
  major: number;
  /** The folder of its programs. */
  bin: string;
  /** A connection string for a role and a database. */
  url(role: string, password: string, database?: string): string;
  /** Stops the server the fast way: transactions roll back, data is flushed. Safe to call twice. */
  stop(): Promise<void>;
}

const startTimeout = 30_000;

/** Starts a Postgres server on loopback; initializes its data folder first when there is none. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { installation, folder } = options;
  const user = await asDatabaseUser(join(installation.bin, "postgres"));
  if (!exists(folder)) await makeDataFolder(options, user);
  const version = dataVersion(folder);
  if (version !== installation.major) {
    throw new Failure(
      "DATA_VERSION",
      `Cannot start Postgres ${installation.major}: ${folder} was made by Postgres ${version}; ` +
        "move the folder away to keep it, or start over with npm start -- --reset",
    );
  }
  await stopServer(folder);
  const attempts = options.port === undefined ? 3 : 1;
  for (let attempt = 1;; attempt++) {
    const port = options.port ?? freePort();
    const server = await launch(options, user, port);
    if (server) return supervised(options, user, port, server);
    const failure = explain(options, port);
    if (failure.code !== "PORT_TAKEN" || attempt === attempts) throw failure;
  }
}

/** A server process that accepts connections. */
interface Server {
  /** Resolves once it is gone. */
  exited: Promise<unknown>;
}

/** The cluster that a server is of, and goes on being where it is started again. */
function supervised(options: ClusterOptions, user: OsUser, port: number, first: Server): Cluster {
  const { folder, installation, restart } = options;
  let isStopping = false;
  const tell = (message: string) => {
    if (!isStopping) restart?.(message);
  };
  const supervise = async () => {
    for (let server: Server | null = first; !isStopping;) {
      if (server) {
        await server.exited;
        if (isStopping || !restart) return;
        tell("The database ended; it is started again");
      } else {
        // The ended server's shared memory and port take a moment to be free.
        await sleep(1000);
      }
      server = await launch(options, user, port).catch(() => null);
      tell(server ? "The database runs again" : explain(options, port).message);
    }
  };
  const over = supervise();
  const stop = async () => {
    isStopping = true;
    await stopServer(folder);
    await over;
    // A server may have been about to start.
    await stopServer(folder);
  };
  let stopping: Promise<void> | undefined;
  return {
    port,
    major: installation.major,
    bin: installation.bin,
    url: (role, password, database = "postgres") =>
      `postgresql://${role}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`,
    stop: () => stopping ??= stop(),
  };
}

/** Starts a server; null where it ended before it accepted connections. */
async function launch(options: ClusterOptions, user: OsUser, port: number): Promise<Server | null> {
  const { folder, log } = options;
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    max_connections: "200",
    shared_preload_libraries: "pg_stat_statements",
    // The server log is for this stack's user alone, and holds no statement that could hold a
    // secret unless it failed.
    log_statement: "none",
    ...options.settings,
  };
  await Deno.writeTextFile(log, "", { mode: 0o600 });
  await giveToDatabaseUser([log], user);
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  // Detached, so that a Ctrl-C in the terminal reaches only us and the server is stopped in order.
  const child = user.command(
    "/bin/sh",
    [
      "-c",
      'log=$1; shift; exec "$@" >>"$log" 2>&1',
      "sh",
      log,
      join(options.installation.bin, "postgres"),
      "-D",
      folder,
      ...flags,
    ],
    { detached: true },
  ).spawn();
  let exited = false;
  const exit = child.status.then(() => exited = true);
  const watchdog = stopWithParent(folder, child.pid);

  for (let waited = 0; !exited && !isReady(folder, child.pid); waited += 10) {
    if (waited > startTimeout) {
      Deno.kill(child.pid, "SIGQUIT");
      await exit;
    }
    await sleep(10);
  }
  const gone = exit.then(() => watchdog.release());
  if (exited) {
    await gone;
    return null;
  }
  return { exited: gone };
}

/** Turns the server's last fatal log line into a message that says what to do. */
function explain(options: ClusterOptions, port: number): Failure {
  const log = exists(options.log) ? Deno.readTextFileSync(options.log) : "";
  if (log.includes("could not bind") || log.includes("Address already in use")) {
    return new Failure(
      "PORT_TAKEN",
      `Cannot start Postgres: port ${port} is taken; choose another with -- --db-port <port>`,
    );
  }
  const fatal = log.split("\n").findLast((line) => /(FATAL|PANIC):|No such file|denied/.test(line));
  const cause = fatal?.replace(/^.*(FATAL|PANIC):\s*/, "") ?? "it gave no reason";
  return new Failure(
    "DATABASE_FAILED",
    `Cannot start Postgres on ${options.folder}: ${cause}; see ${options.log}, restore the ` +
      "folder from a copy, or start over with npm start -- --reset",
  );
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
