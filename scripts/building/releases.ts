import { gunzipSync, gzipSync } from "node:zlib";
import { basename } from "node:path";
import { exists } from "../stack/binaries.ts";
import { Failure } from "../stack/failure.ts";
import { inRepository } from "../stack/paths.ts";
import { filesBelow } from "../testing/selection.ts";
import { bundleJourney } from "./client/journey.ts";
import { derive } from "./derivation.ts";
import type { ApiDocument } from "./openapi/compatibility.ts";
import { compareVersions, isVersion } from "./upgrade_text.ts";

/** The migrations of a version: the text for each source folder, such as `01_rbac`. */
export type Version = Map<string, string>;

/** The folder of the frozen versions, and that of the release migrations. */
export const frozenFolder = "tests/upgrade";
export const releasesFolder = "supabase/releases";
/** The release migrations of the changes since the newest frozen version. */
export const nextFolder = `${releasesFolder}/next`;

/** The versions that are frozen, the newest last. */
export async function frozenVersions(): Promise<string[]> {
  if (!exists(inRepository(frozenFolder))) return [];
  const names = await Array.fromAsync(Deno.readDir(inRepository(frozenFolder)));
  return names.map(({ name }) => name).filter(isVersion).sort(compareVersions);
}

/** The migrations of a frozen version. */
export async function readFrozen(version: string): Promise<Version> {
  const found: Version = new Map();
  for (const path of await filesBelow(`${frozenFolder}/${version}`, ".sql.gz")) {
    const text = gunzipSync(await Deno.readFile(inRepository(path))).toString("utf8");
    found.set(basename(path, ".sql.gz"), text);
  }
  return found;
}

/** The API document of a frozen version; null: of before there was one. */
export async function readFrozenApi(version: string): Promise<ApiDocument | null> {
  const path = inRepository(`${frozenFolder}/${version}/openapi.json.gz`);
  return exists(path) ? JSON.parse(gunzipSync(await Deno.readFile(path)).toString("utf8")) : null;
}

/**
 * Freezes migrations as a version, instead of an earlier cut of it, with the API document and the client
 * that later versions are tested with.
 */
export async function writeFrozen(version: string, migrations: Version): Promise<void> {
  const folder = inRepository(`${frozenFolder}/${version}`);
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, text] of migrations) {
    await Deno.writeFile(`${folder}/${name}.sql.gz`, gzipSync(text, { level: 9 }));
  }
  const api = await Deno.readTextFile(inRepository("docs", "openapi.json"));
  await Deno.writeFile(`${folder}/openapi.json.gz`, gzipSync(api, { level: 9 }));
  await Deno.writeFile(`${folder}/client.js.gz`, gzipSync(await bundleJourney(), { level: 9 }));
}

/** The statements that people wrote for a release: before and after those that are derived. */
export interface ByHand {
  before: string | undefined;
  after: string | undefined;
}

/** Reads what people wrote in `<folder>/by_hand`: `<nn>_<noun>.sql` and `<nn>_<noun>.after.sql`. */
export async function readByHand(folder: string): Promise<Map<string, ByHand>> {
  const found = new Map<string, ByHand>();
  for (const path of await filesBelow(`${folder}/by_hand`, ".sql")) {
    const [, name, after] = /([^/]+?)(\.after)?\.sql$/.exec(path) ?? [];
    const known = found.get(name!) ?? { before: undefined, after: undefined };
    const text = await Deno.readTextFile(inRepository(path));
    found.set(name!, after ? { ...known, after: text } : { ...known, before: text });
  }
  return found;
}

/**
 * The release migrations between two versions, by source folder; folders without a change have none.
 * @throws Failure naming the changes that nobody can derive, if a folder with such changes has
 * nothing written by hand
 */
export function releaseMigrations(
  before: Version,
  after: Version,
  byHand: Map<string, ByHand>,
): Version {
  const found: Version = new Map();
  const missing: string[] = [];
  const again = { functions: new Set<string>(), objects: new Set<string>() };
  for (const [folder, text] of after) {
    const { statements, functions, created, byHand: left } = derive(
      before.get(folder) ?? "",
      text,
      again,
    );
    functions.forEach((name) => again.functions.add(name));
    created.forEach((name) => again.objects.add(name));
    const written = byHand.get(folder);
    // A new capability is installed by its own migration.
    if (!before.has(folder)) continue;
    if (statements.length === 0 && left.length === 0 && !written) continue;
    if (left.length > 0 && !written) missing.push(...left.map((line) => `${folder}: ${line}`));
    found.set(
      folder,
      [
        `-- ${folder}: built by npm run build; edit the sources, or ${nextFolder}/by_hand.`,
        ...left.map((line) => `-- By hand: ${line}`),
        ...written?.before ? [written.before.trim()] : [],
        ...statements,
        ...written?.after ? [written.after.trim()] : [],
        "",
      ].join("\n"),
    );
  }
  if (missing.length > 0) {
    throw new Failure(
      "CHANGES_BY_HAND",
      `Cannot build: write these changes for databases that are there, in ${nextFolder}/by_hand/<nn>_<noun>.sql:\n` +
        missing.map((line) => `  ${line}`).join("\n"),
    );
  }
  return found;
}
