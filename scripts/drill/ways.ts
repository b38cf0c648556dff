/** The ways to back a project up and to restore it into a new cluster. */
import { basename, join } from "node:path";
import { startCluster } from "../stack/cluster.ts";
import { connect } from "../stack/connection.ts";
import { runCli } from "../stack/migrate.ts";
import { backUp, restore } from "../stack/offline_copy.ts";
import { inRepository, type StackPaths } from "../stack/paths.ts";
import type { PostgresInstallation } from "../stack/binaries.ts";
import { preparePlatform } from "../stack/platform.ts";
import { Failure } from "../stack/failure.ts";
import { dumpAsCli, restoreAsCli } from "./backups.ts";
import { run, type Server } from "./programs.ts";

/** A stack that does not run. */
export interface Stopped {
  paths: StackPaths;
  installation: PostgresInstallation;
  password: string;
}

/** A way: its backup goes into a folder, and comes back from there. */
export interface Way {
  name: string;
  /** Whether it needs pg_dump and its like, of the server's version. */
  needsPrograms: boolean;
  backUp(from: Stopped, folder: string): Promise<void>;
  restore(folder: string, to: Stopped): Promise<void>;
}

export const ways: Way[] = [
  {
    name: "roles, schema and data, as supabase db dump makes them",
    needsPrograms: true,
    backUp: (from, folder) =>
      serving(from, async (server) => {
        const files = await dumpAsCli(server);
        await Deno.mkdir(folder);
        for (const [name, text] of Object.entries(files)) {
          await Deno.writeTextFile(join(folder, `${name}.sql`), text);
        }
      }),
    restore: (folder, to) =>
      serving(to, async (server) => {
        await preparePlatform(server.cluster, server.password);
        const read = (name: string) => Deno.readTextFile(join(folder, `${name}.sql`));
        const files = [await read("roles"), await read("schema"), await read("data")];
        await restoreAsCli(server, [...files, "select bulwark.close_privileges();"]);
        await repairHistory(server);
      }),
  },
  {
    name: "pg_dump -Fc and pg_restore",
    needsPrograms: true,
    backUp: (from, folder) =>
      serving(from, async (server) => {
        await Deno.mkdir(folder);
        const file = `--file=${join(folder, "project.dump")}`;
        await run(server, "postgres", { name: "pg_dump", args: ["--format=custom", file] });
      }),
    restore: (folder, to) =>
      serving(to, async (server) => {
        await preparePlatform(server.cluster, server.password);
        const admin = connect(server.cluster.url("supabase_admin", server.password, "template1"));
        await admin`create role api_key nologin noinherit`;
        await admin`drop database postgres`;
        await admin`create database postgres owner postgres template template0`;
        await admin.end();
        const args = ["--exit-on-error", join(folder, "project.dump")];
        await run(server, "postgres", { name: "pg_restore", args });
      }),
  },
  {
    name: "npm run backup and npm run restore",
    needsPrograms: false,
    backUp: async ({ paths }, folder) => void await backUp(paths, folder),
    restore: async (folder, { paths, installation }) => {
      // They come from the backup here.
      await Deno.remove(paths.secrets);
      await restore(folder, paths, installation);
    },
  },
];

/** Runs the server alone, without functions and timers that would write. */
export async function serving<Result>(
  { paths, installation, password }: Stopped,
  task: (server: Server) => Promise<Result>,
): Promise<Result> {
  const cluster = await startCluster({
    installation,
    folder: paths.database,
    log: paths.postgresLog,
    password,
  });
  try {
    return await task({ cluster, password });
  } finally {
    await cluster.stop();
  }
}

/** The CLI's backup has no history of migrations; without one they would be pushed again. */
async function repairHistory(server: Server): Promise<void> {
  const versions: string[] = [];
  for await (const { name } of Deno.readDir(inRepository("supabase", "migrations"))) {
    if (name.endsWith(".sql")) versions.push(basename(name).split("_")[0] ?? "");
  }
  const args = ["migration", "repair", "--yes", "--status", "applied", ...versions.sort()];
  const { success, output } = await runCli(args, server);
  if (!success) throw new Failure("DRILL", `supabase migration repair: ${output.trim()}`);
}
