import { gunzipSync, gzipSync } from "node:zlib";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "./errors.ts";
import type { Project } from "./project.ts";

/** Remembers in the project what was installed. It is committed with the files. */
export interface Lock {
  version: string;
  capabilities: string[];
  /** Each file of Bulwark with the SHA-256 of what the command shipped or wrote. */
  files: Record<string, LockedFile>;
  /** The changes of config.toml. */
  config: { schemas?: "added" | "extended"; sections: string[] };
  /** The names that were written to the functions' .env file. */
  env: string[];
}

/** A file of the lock. */
export interface LockedFile {
  sha256: string;
  /** The file before a change that is under way: a run that was interrupted left either. */
  was?: string;
}

export const lockPath = "supabase/bulwark.json";
/** The shipped texts, compressed: the base of a three-way merge. */
export const basePath = "supabase/bulwark.base.gz";

/** Reads the lock; null if Bulwark is not in the project. */
export function readLock(project: Project): Lock | null {
  const text = project.read(lockPath);
  if (text === null) return null;
  try {
    const lock = JSON.parse(text) as Lock;
    const isValid = typeof lock.version === "string" && Array.isArray(lock.capabilities) &&
      Array.isArray(lock.config.sections) && Array.isArray(lock.env) &&
      Object.entries(lock.files).every(([path, file]) =>
        /^supabase\/(?!.*\.\.)/.test(path) && typeof file.sha256 === "string"
      );
    if (isValid) return lock;
  } catch {
    // Reported below.
  }
  throw new CliError(
    "CLI_INVALID_LOCK",
    `Cannot read ${lockPath}: it is not what the command wrote; restore it from version control`,
  );
}

/** Reads the lock of a project that must have one. */
export function requireLock(project: Project): Lock {
  const lock = readLock(project);
  if (lock) return lock;
  throw new CliError(
    "CLI_NOT_INSTALLED",
    `Cannot find ${lockPath}: Bulwark is not in this project; run npx bulwark init`,
  );
}

/** The lock as text: sorted, so that it changes only where something changed. */
export function lockText(lock: Lock): string {
  const files = Object.fromEntries(
    Object.entries(lock.files).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0),
  );
  return JSON.stringify({ ...lock, files }, null, 2) + "\n";
}

/** The shipped texts by path, as they were when they were written; empty if the file is gone. */
export function readBase(project: Project): Map<string, string> {
  if (!project.exists(basePath)) return new Map();
  try {
    const text = gunzipSync(readFileSync(join(project.root, basePath))).toString("utf8");
    return new Map(Object.entries(JSON.parse(text) as Record<string, string>));
  } catch {
    return new Map();
  }
}

/** The shipped texts, compressed. */
export function baseBytes(texts: Map<string, string>): Uint8Array {
  const sorted = Object.fromEntries([...texts].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0));
  return gzipSync(JSON.stringify(sorted), { level: 9 });
}

/** Whether a file is as the command wrote it, in this run or one that was interrupted. */
export function isUnedited(file: LockedFile | undefined, hash: string): boolean {
  return file !== undefined && (hash === file.sha256 || hash === file.was);
}
