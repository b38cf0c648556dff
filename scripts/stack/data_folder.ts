import { join } from "node:path";
import { exists, type PostgresInstallation } from "./binaries.ts";
import { Failure } from "./failure.ts";
import { giveToDatabaseUser, type OsUser } from "./os_user.ts";

/** A data folder to be made. */
export interface DataFolderOptions {
  installation: PostgresInstallation;
  folder: string;
  /** The password of the superuser `supabase_admin`. */
  password: string;
}

/** Makes a Postgres data folder, whole or not at all. */
export async function makeDataFolder(options: DataFolderOptions, user: OsUser): Promise<void> {
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

/** The major version that a data folder was made by; a Failure when it is not intact. */
export function dataVersion(folder: string): number {
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
