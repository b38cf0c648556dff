import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root folder. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A path inside the repository. */
export function inRepository(...parts: string[]): string {
  return join(root, ...parts);
}

/** Everything the local stack writes: git-ignored, one folder, one instance at a time. */
export interface StackPaths {
  folder: string;
  database: string;
  lock: string;
  secrets: string;
  state: string;
  postgresLog: string;
}

/** The paths of a stack's files; `BULWARK_DATA_DIR` changes the folder. */
export function stackPaths(
  folder = Deno.env.get("BULWARK_DATA_DIR") ?? inRepository(".bulwark"),
): StackPaths {
  return {
    folder,
    database: join(folder, "database"),
    lock: join(folder, "lock"),
    secrets: join(folder, "secrets.env"),
    state: join(folder, "stack.json"),
    postgresLog: join(folder, "postgres.log"),
  };
}
