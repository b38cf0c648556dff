import { dirname } from "node:path";
import { Failure } from "./failure.ts";

/** The operating-system account that a Postgres server runs as. */
export interface OsUser {
  /** Null when files need not change hands for it. */
  id: { uid: number; gid: number } | null;
  /** A command that runs as this account. */
  command(path: string, args: string[], options?: { detached?: boolean }): Deno.Command;
}

/**
 * Finds the account to run Postgres as: our own, or, because Postgres refuses to run as root, an
 * unprivileged one. `program` is what that account must be able to reach.
 */
export async function asDatabaseUser(program: string): Promise<OsUser> {
  if (Deno.uid() !== 0) return { id: null, command: plain };
  const id = await lookUp("postgres") ?? await lookUp("nobody");
  if (!id) throw new Failure("NO_OS_USER", "Cannot run Postgres as root: add a user postgres");

  const switched: OsUser["command"] = (path, args, options) =>
    new Deno.Command(path, { ...commandOptions(args, options), ...id });
  if (await runs(switched(program, ["--version"]))) return { id, command: switched };

  // The repository is below a folder that only root may enter (/root, say): stay the owner of the
  // files, but in a user namespace where that is nobody, without any of root's powers.
  const confined: OsUser["command"] = (path, args, options) =>
    new Deno.Command(
      "unshare",
      commandOptions(
        ["--user", "--map-user=65534", "--map-group=65534", path, ...args],
        options,
      ),
    );
  if (await runs(confined(program, ["--version"]))) return { id: null, command: confined };
  throw new Failure(
    "NO_PERMISSION",
    `Cannot run Postgres: its user cannot reach ${dirname(program)}; move the repository to a ` +
      "folder that others may enter",
  );
}

/** Makes files the database user's own, where it is somebody else. */
export async function giveToDatabaseUser(paths: string[], user: OsUser): Promise<void> {
  if (user.id) { for (const path of paths) await Deno.chown(path, user.id.uid, user.id.gid); }
}

function plain(path: string, args: string[], options?: { detached?: boolean }): Deno.Command {
  return new Deno.Command(path, commandOptions(args, options));
}

function commandOptions(args: string[], options?: { detached?: boolean }): Deno.CommandOptions {
  return {
    args,
    cwd: "/",
    stdin: "null",
    stdout: options?.detached ? "null" : "piped",
    stderr: options?.detached ? "null" : "piped",
    detached: options?.detached ?? false,
  };
}

async function runs(command: Deno.Command): Promise<boolean> {
  try {
    return (await command.output()).success;
  } catch {
    return false;
  }
}

async function lookUp(name: string): Promise<{ uid: number; gid: number } | null> {
  const [uid, gid] = await Promise.all(["-u", "-g"].map(async (flag) => {
    const result = await new Deno.Command("id", { args: [flag, name], stderr: "null" }).output();
    return result.success ? Number(new TextDecoder().decode(result.stdout)) : null;
  }));
  return uid && gid ? { uid, gid } : null;
}
