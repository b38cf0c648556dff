/** Copies of a stack that does not run: its database, its secrets, and a manifest over both. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { embeddedPostgres, exists, type PostgresInstallation } from "./binaries.ts";
import { startCluster } from "./cluster.ts";
import { connect } from "./connection.ts";
import { dataVersion } from "./data_folder.ts";
import { Failure, reason } from "./failure.ts";
import { claim } from "./instance.ts";
import { asDatabaseUser, giveToDatabaseUser } from "./os_user.ts";
import type { StackPaths } from "./paths.ts";
import { stopServer } from "./postmaster.ts";
import { loadSecrets } from "./secrets.ts";

/** The list of a copy's files. A copy without one is not complete. */
interface Manifest {
  format: 1;
  madeAt: string;
  postgres: number;
  /** Data folders of another kind of machine cannot be read. */
  platform: string;
  /** SHA-256 of each file, by path. */
  files: Record<string, string>;
}

const platform = `${Deno.build.os}-${Deno.build.arch}`;
const manifestName = "manifest.json";

/** The size of a copy. */
export interface Copied {
  files: number;
  bytes: number;
}

/**
 * Copies a stack into a new folder that only its owner can read. It holds the secrets.
 * @throws Failure ALREADY_RUNNING, NOTHING_TO_COPY, TARGET_EXISTS
 */
export async function backUp(paths: StackPaths, target: string): Promise<Copied> {
  if (exists(target)) throw refuse("TARGET_EXISTS", "back up", `${target} exists`);
  if (!exists(paths.database) || !exists(paths.secrets)) {
    throw refuse("NOTHING_TO_COPY", "back up", `${paths.folder} has no database with its secrets`);
  }
  const instance = await claim(paths);
  const draft = join(dirname(target), `.${basename(target)}.new`);
  try {
    // A server that outlived its stack: the copy must be of one that has ended in order.
    await stopServer(paths.database);
    await Deno.mkdir(draft, { mode: 0o700, recursive: true });
    await copy(paths.database, join(draft, "database"));
    await copy(paths.secrets, join(draft, "secrets.env"));
    const { files, bytes } = await hashes(draft);
    const manifest: Manifest = {
      format: 1,
      madeAt: new Date().toISOString(),
      postgres: dataVersion(paths.database),
      platform,
      files,
    };
    await Deno.writeTextFile(join(draft, manifestName), JSON.stringify(manifest, null, 2) + "\n", {
      mode: 0o600,
    });
    await Deno.rename(draft, target);
    return { files: Object.keys(files).length, bytes };
  } finally {
    await Deno.remove(draft, { recursive: true }).catch(() => {});
    await instance.release();
  }
}

/**
 * Restores a copy into a stack's folder, which has neither a database nor secrets. Postgres begins a
 * timeline, so that the audit log records a fork: what was written after the copy is lost.
 * @throws Failure ALREADY_RUNNING, STACK_EXISTS, COPY_DAMAGED, OTHER_PLATFORM
 */
export async function restore(
  source: string,
  paths: StackPaths,
  installation: PostgresInstallation = embeddedPostgres(),
): Promise<Copied> {
  const manifest = await readManifest(source);
  if (manifest.platform !== platform || manifest.postgres !== installation.major) {
    throw refuse(
      "OTHER_PLATFORM",
      "restore",
      `${source} is of Postgres ${manifest.postgres} on ${manifest.platform}`,
    );
  }
  const instance = await claim(paths);
  const draft = `${paths.database}.restored`;
  try {
    for (const taken of [paths.database, paths.secrets]) {
      if (exists(taken)) {
        throw refuse("STACK_EXISTS", "restore", `${taken} exists; move it away first`);
      }
    }
    await Deno.remove(draft, { recursive: true }).catch(() => {});
    const { files, bytes } = await hashes(source);
    requireSame(source, manifest.files, files);
    await copy(join(source, "database"), draft);
    const user = await asDatabaseUser(join(installation.bin, "postgres"));
    if (user.id) await giveToDatabaseUser([draft, ...await below(draft)], user);
    await copy(join(source, "secrets.env"), paths.secrets);
    await Deno.chmod(paths.secrets, 0o600);
    // Postgres recovers from an archive that has nothing, and ends in a timeline of its own.
    const signal = join(draft, "recovery.signal");
    await Deno.writeTextFile(signal, "");
    await giveToDatabaseUser([signal], user);
    await Deno.rename(draft, paths.database);
    await beginTimeline(paths, installation);
    return { files: Object.keys(files).length, bytes };
  } finally {
    await Deno.remove(draft, { recursive: true }).catch(() => {});
    await instance.release();
  }
}

/** The first seal records the fork. */
async function beginTimeline(
  paths: StackPaths,
  installation: PostgresInstallation,
): Promise<void> {
  const { databasePassword: password } = await loadSecrets(paths.secrets);
  const cluster = await startCluster({
    installation,
    folder: paths.database,
    log: paths.postgresLog,
    password,
    settings: { restore_command: "false" },
  });
  try {
    const sql = connect(cluster.url("postgres", password));
    while ((await sql`select pg_is_in_recovery() as still`)[0]?.still) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await sql`select bulwark.seal_audit_log()`;
    await sql.end();
  } finally {
    await cluster.stop();
  }
}

async function readManifest(source: string): Promise<Manifest> {
  let manifest: Partial<Manifest>;
  try {
    manifest = JSON.parse(await Deno.readTextFile(join(source, manifestName)));
  } catch (thrown) {
    throw refuse("COPY_DAMAGED", "restore", `${source} has no manifest (${reason(thrown)})`);
  }
  if (manifest.format !== 1 || !manifest.files) {
    throw refuse("COPY_DAMAGED", "restore", `${source} is no copy that this version made`);
  }
  return manifest as Manifest;
}

function requireSame(
  source: string,
  listed: Record<string, string>,
  found: Record<string, string>,
): void {
  const paths = new Set([...Object.keys(listed), ...Object.keys(found)]);
  const wrong = [...paths].find((path) => listed[path] !== found[path]);
  if (wrong === undefined) return;
  const fault = !found[wrong] ? "is missing" : listed[wrong] ? "was changed" : "was added";
  throw refuse("COPY_DAMAGED", "restore", `${wrong} of ${source} ${fault}`);
}

async function hashes(folder: string): Promise<{ files: Record<string, string>; bytes: number }> {
  const files: Record<string, string> = {};
  let bytes = 0;
  for (const path of (await below(folder)).sort()) {
    const { isFile, size } = await Deno.lstat(path);
    const name = relative(folder, path);
    if (!isFile || name === manifestName) continue;
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(path)) hash.update(chunk);
    files[name] = hash.digest("hex");
    bytes += size;
  }
  return { files, bytes };
}

/** Everything below a folder. */
async function below(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    found.push(path);
    if (isDirectory) found.push(...await below(path));
  }
  return found;
}

/** Copies with modes and owners: Postgres accepts no others. */
async function copy(from: string, to: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("cp", { args: ["-a", from, to] }).output();
  if (success) return;
  throw new Failure("COPY_FAILED", `Cannot copy: ${new TextDecoder().decode(stderr).trim()}`);
}

function refuse(code: string, action: string, state: string): Failure {
  return new Failure(code, `Cannot ${action}: ${state}`);
}
