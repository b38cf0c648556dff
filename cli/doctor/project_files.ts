import { configValue } from "../config.ts";
import { envPath } from "../environment.ts";
import { isUnedited, type Lock, readLock } from "../lock.ts";
import { configPath, hashOf, type Project, projectAround } from "../project.ts";

/** The files of a Supabase project that say how it is configured. */
export interface ProjectFiles {
  project: Project;
  /** A value of supabase/config.toml by its dotted path. */
  config(path: string): unknown;
  /** supabase/functions/.env, the environment of functions on this machine; null: no such file. */
  functionEnv: Map<string, string> | null;
  /** supabase/bulwark.json; null: `bulwark init` was not run here. */
  lock: Lock | null;
}

/**
 * Reads the files of the project that a folder is in; null where there is none.
 * @throws CliError if one of them cannot be read, or there is no such folder.
 */
export function readProjectFiles(folder: string): ProjectFiles | null {
  const project = projectAround(folder);
  const config = project?.read(configPath) ?? null;
  if (project === null || config === null) return null;
  const env = project.read(envPath);
  configValue(config, "api"); // an invalid file is an error at once
  return {
    project,
    config: (path) => configValue(config, path),
    functionEnv: env === null ? null : readEnv(env),
    lock: readLock(project),
  };
}

/** A file that is not as the command wrote it; gone: it is missing. */
export interface ChangedFile {
  path: string;
  gone: boolean;
}

/** The files of the lock that are missing or not as the command wrote them. */
export function changedFiles({ project, lock }: ProjectFiles): ChangedFile[] {
  return Object.entries(lock?.files ?? {}).flatMap(([path, file]): ChangedFile[] => {
    const text = project.read(path);
    if (text === null) return [{ path, gone: true }];
    return isUnedited(file, hashOf(text)) ? [] : [{ path, gone: false }];
  });
}

/** Reads `NAME=value` lines; quotes around a value do not belong to it. */
function readEnv(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name, value = ""] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ??
      [];
    if (name) found.set(name, value.replace(/^(["'])(.*)\1$/, "$2"));
  }
  return found;
}
