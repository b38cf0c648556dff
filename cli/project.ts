import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { CliError, reason } from "./errors.ts";

/** A Supabase project on disk. Paths are relative to its folder, with slashes. */
export interface Project {
  root: string;
  /** The text of a file, also through a symbolic link; null if there is none. */
  read(path: string): string | null;
  exists(path: string): boolean;
  isFolder(path: string): boolean;
  /** All files below a folder, sorted. Empty if there is no such folder. */
  filesBelow(folder: string): string[];
}

export const configPath = "supabase/config.toml";
export const migrationsFolder = "supabase/migrations";
export const functionsFolder = "supabase/functions";

/** The project of a folder: the nearest one upwards that has supabase/config.toml, or null. */
export function projectAround(folder: string): Project | null {
  const start = resolve(folder);
  if (!existsSync(start)) {
    throw new CliError("CLI_NOT_A_PROJECT", `Cannot find the folder ${start}`);
  }
  for (let root = start;; root = dirname(root)) {
    if (existsSync(join(root, configPath))) return openProject(root);
    if (root === dirname(root)) return null;
  }
}

/** The project of a folder that must be in one. */
export function findProject(folder: string): Project {
  const project = projectAround(folder);
  if (project) return project;
  throw new CliError(
    "CLI_NOT_A_PROJECT",
    `Cannot find ${configPath} in ${resolve(folder)} or above it: name the project's folder with ` +
      "--workdir, or run npx supabase init first",
  );
}

/** Opens the project whose folder is known. */
export function openProject(root: string): Project {
  const filesBelow = (folder: string): string[] => {
    const path = join(root, folder);
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [];
    return readable(folder, () => readdirSync(path, { withFileTypes: true }))
      .flatMap((entry) => {
        const child = `${folder}/${entry.name}`;
        if (entry.name === "node_modules") return [];
        return entry.isDirectory() ? filesBelow(child) : [child];
      })
      .sort();
  };
  return {
    root,
    filesBelow,
    exists: (path) => lstatSync(join(root, path), { throwIfNoEntry: false }) !== undefined,
    isFolder: (path) =>
      statSync(join(root, path), { throwIfNoEntry: false })?.isDirectory() ?? false,
    read(path) {
      const file = join(root, path);
      const isFile = statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
      return isFile ? readable(path, () => readFileSync(file, "utf8")) : null;
    },
  };
}

/** Runs what reads a path. @throws CliError if this user may not read it */
function readable<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    throw new CliError("CLI_READ_FAILED", `Cannot read ${path}: ${reason(thrown)}`);
  }
}

/** SHA-256 in hex of a text with line feeds: the same after a checkout with other line endings. */
export function hashOf(text: string): string {
  return createHash("sha256").update(text.replaceAll("\r\n", "\n")).digest("hex");
}
