/** The contents of this package that belong into a project. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  capabilities as all,
  type Capability,
  closure,
  functionFolders,
  installedModule,
} from "../scripts/building/capabilities.ts";
import { CliError } from "./errors.ts";
import { functionsFolder, migrationsFolder } from "./project.ts";

/** The pgTAP file that projects run: it holds with any capabilities. */
const installedTest = "supabase/tests/bulwark_installed.test.sql";

/** The files of an installation of some capabilities. */
export interface Contents {
  version: string;
  capabilities: string[];
  /** The migrations in their order, the start last. */
  migrations: ShippedMigration[];
  /** The text of each file of the functions, and of the pgTAP file for the project, by path. */
  functions: Map<string, string>;
  /** The folders of the edge functions, such as `bulwark-rbac`. */
  functionNames: string[];
}

/** A migration of the package. */
export interface ShippedMigration {
  /** The noun, or `start`. */
  name: string;
  text: string;
}

/** The folder of the package: above this file, compiled or not. */
export const packageRoot: string = (() => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
})();

/** The version of this package. */
export function packageVersion(): string {
  return JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")).version;
}

/** The capabilities of these names with all that they need; hyphens count as underscores. */
export function resolveCapabilities(names: string[]): Capability[] {
  try {
    return closure(names.map((name) => name.replaceAll("-", "_")));
  } catch (thrown) {
    const known = all.filter(({ core }) => !core).map(({ name }) => name).join(", ");
    const message = `${(thrown as Error).message}; there are ${known}`;
    throw new CliError("CLI_UNKNOWN_CAPABILITY", message, 2);
  }
}

/** Reads what an installation of these capabilities consists of. */
export function contentsFor(names: string[]): Contents {
  const chosen = resolveCapabilities(names);
  const capabilities = chosen.map(({ name }) => name);
  const functions = new Map<string, string>();
  for (const folder of functionFolders(capabilities)) {
    for (const path of filesBelow(`${functionsFolder}/${folder}`)) functions.set(path, read(path));
  }
  functions.set(
    `${functionsFolder}/_bulwark/foundation/installed.ts`,
    installedModule(capabilities),
  );
  functions.set(installedTest, read(installedTest));
  return {
    version: packageVersion(),
    capabilities,
    migrations: [...capabilities, "start"].map((name) => ({ name, text: migration(name) })),
    functions,
    functionNames: chosen.flatMap(({ functions }) => functions),
  };
}

function migration(name: string): string {
  const file = readdirSync(join(packageRoot, migrationsFolder)).find((file) =>
    /^\d+_bulwark_(\w+)\.sql$/.exec(file)?.[1] === name
  );
  if (!file) throw new Error(`the package lacks the migration of ${name}`);
  return read(`${migrationsFolder}/${file}`);
}

function filesBelow(folder: string): string[] {
  if (!existsSync(join(packageRoot, folder))) return [];
  return readdirSync(join(packageRoot, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

function read(path: string): string {
  return readFileSync(join(packageRoot, path), "utf8");
}
