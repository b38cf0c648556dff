import { join } from "node:path";
import { exists, type PostgresInstallation } from "./binaries.ts";
import { Failure } from "./failure.ts";
import { asDatabaseUser, giveToDatabaseUser, type OsUser } from "./os_user.ts";
import { freePort } from "./ports.ts";
import { stopWithParent } from "./watchdog.ts";

/** What a cluster needs to know to exist. */
export interface ClusterOptions {
  installation: PostgresInstallation;
  /** The data folder; made when missing. */
  folder: string;
  /** Where the server writes its log; emptied at every start. */
  log: string;
  /** The password of the superuser `supabase_admin`. */
  password: string;
  /** A fixed port; without it a free one is taken. */
  port?: number | undefined;
  /** Server settings on top of the defaults. */
  settings?: Record<string, string>;
}

/** A running Postgres server. */
export interface Cluster {
  port: number;
  major: number;
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
  if (!exists(folder)) await initialize(options, user);
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
    if (server) return server;
    const failure = explain(options, port);
    if (failure.code !== "PORT_TAKEN" || attempt === attempts) throw failure;
  }
}

/** Stops whatever server runs on a data folder, also one that an earlier process left behind. */
export async function stopServer(folder: string): Promise<void> {
  const pid = serverPid(folder);
  if (pid === null || !isPostgres(pid)) return;
  for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
    try {
      Deno.kill(pid, signal);
    } catch {
      return;
    }
    for (let waited = 0; waited < 10_000; waited += 10) {
      if (!isPostgres(pid)) return;
      await sleep(10);
    }
  }
}

async function initialize(options: ClusterOptions, user: OsUser): Promise<void> {
  // initdb works in a folder of its own, so that a start cut short leaves no half-made data folder.
  const draft = `${options.folder}.new`;
  if (exists(draft)) await Deno.remove(draft, { recursive: true });
  const passwordFile = `${draft}.password`;
  try {
    await Deno.mkdir(draft, { recursive: true, mode: 0o700 });
    await Deno.writeTextFile(passwordFile, options.password, { mode: 0o600 });
    await giveToDatabaseUser([draft, passwordFile], user);
    const locale = options.installation.major >= 17
      ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
      : ["--locale=C.UTF-8"];
    const result = await user.command(join(options.installation.bin, "initdb"), [
      `--pgdata=${draft}`,
      `--pwfile=${passwordFile}`,
      "--username=supabase_admin",
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--no-instructions",
      "--no-sync",
      ...locale,
    ]).output();
    if (!result.success) {
      const message = new TextDecoder().decode(result.stderr).trim().split("\n").at(-1) ?? "";
      throw new Failure("INITDB_FAILED", `Cannot make the data folder: ${message}`);
    }
    await Deno.rename(draft, options.folder);
  } catch (thrown) {
    if (thrown instanceof Deno.errors.PermissionDenied) {
      throw new Failure("NO_PERMISSION", `Cannot write ${options.folder}: permission denied`);
    }
    throw thrown;
  } finally {
    await Deno.remove(passwordFile).catch(() => {});
  }
}

async function launch(options: ClusterOptions, user: OsUser, port: number) {
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
  const watchdog = stopWithParent(folder);

  for (let waited = 0; !exited && !isReady(folder, child.pid); waited += 10) {
    if (waited > startTimeout) {
      Deno.kill(child.pid, "SIGQUIT");
      await exit;
    }
    await sleep(10);
  }
  if (exited) {
    await watchdog.release();
    return null;
  }

  let stopping: Promise<void> | undefined;
  const stop = async () => {
    await stopServer(folder);
    await exit;
    await watchdog.release();
  };
  return {
    port,
    major: options.installation.major,
    url: (role: string, password: string, database = "postgres") =>
      `postgresql://${role}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`,
    stop: () => stopping ??= stop(),
  };
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

function dataVersion(folder: string): number {
  try {
    const version = Number(Deno.readTextFileSync(join(folder, "PG_VERSION")));
    if (version > 0) return version;
  } catch (thrown) {
    if (thrown instanceof Deno.errors.PermissionDenied) {
      throw new Failure("NO_PERMISSION", `Cannot read ${folder}: permission denied`);
    }
  }
  throw new Failure(
    "DATA_CORRUPT",
    `Cannot start Postgres: ${folder} is not an intact data folder; restore it from a copy, ` +
      "or start over with npm start -- --reset",
  );
}

/** The postmaster's process id, as it recorded it in its data folder. */
function serverPid(folder: string): number | null {
  try {
    const pid = Number(Deno.readTextFileSync(join(folder, "postmaster.pid")).split("\n")[0]);
    return pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

/** The last line of postmaster.pid turns to "ready" when connections are accepted. */
function isReady(folder: string, pid: number): boolean {
  try {
    const lines = Deno.readTextFileSync(join(folder, "postmaster.pid")).split("\n");
    return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
  } catch {
    return false;
  }
}

/** True while the process lives and is a Postgres server, not a later user of its number. */
function isPostgres(pid: number): boolean {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return stat.includes("(postgres)") && !stat.includes("(postgres) Z");
  } catch {
    if (Deno.build.os === "linux") return false;
  }
  const ps = new Deno.Command("ps", { args: ["-o", "stat=,comm=", "-p", String(pid)] })
    .outputSync();
  const line = new TextDecoder().decode(ps.stdout).trim();
  return line.includes("postgres") && !line.startsWith("Z");
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
