/** Upgrades: files that the user edited, and the migrations of the versions. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { capabilities } from "../scripts/building/capabilities.ts";
import { compareVersions, upgradeText } from "../scripts/building/upgrade_text.ts";
import type { Contents, ShippedMigration } from "./contents.ts";
import { packageRoot } from "./contents.ts";
import { isUnedited, type Lock, readBase } from "./lock.ts";
import { mergeTexts } from "./merge.ts";
import { hashOf, type Project } from "./project.ts";

/** A file that both the user and the new version changed. */
export interface EditedFile {
  path: string;
  mine: string;
  shipped: string;
  /** The result, or the text with conflict markers. */
  merged: string;
  conflict: boolean;
}

/** The outcome for an edited file: its new text, or it stays and a file is written beside it. */
export type Resolution =
  | { path: string; text: string }
  | { path: string; text: null; beside: string | null };

/** The files that the user edited and that the new version changes, merged. */
export function editedByBoth(project: Project, lock: Lock, contents: Contents): EditedFile[] {
  const base = readBase(project);
  const found: EditedFile[] = [];
  for (const [path, shipped] of contents.functions) {
    const mine = project.read(path);
    const locked = lock.files[path];
    if (mine === null || !locked || isUnedited(locked, hashOf(mine))) continue;
    if ([hashOf(mine), locked.sha256].includes(hashOf(shipped))) continue;
    const from = base.get(path);
    // Without the version that was edited nobody can say which change is whose.
    const { text, conflict } = from === undefined
      ? { text: shipped, conflict: true }
      : mergeTexts(from, mine, shipped, contents.version);
    found.push({ path, mine, shipped, merged: text, conflict });
  }
  return found;
}

/** The file that a conflict is written to. No function imports it. */
export function besidePath(path: string, version: string): string {
  return `${path}.bulwark-${version}`;
}

/** The migrations that upgrade a database with these capabilities, one for each version. */
export function upgradeMigrations(from: string, to: string, names: string[]): ShippedMigration[] {
  const folder = join(packageRoot, "supabase", "releases");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((version) => /^\d/.test(version))
    .filter((version) => compareVersions(version, from) > 0 && compareVersions(version, to) <= 0)
    .sort(compareVersions)
    .map((version) => {
      const parts = capabilities
        .filter(({ name }) => names.includes(name))
        .map((capability) => join(folder, version, `${capability.folder}.sql`))
        .filter((path) => existsSync(path))
        .map((path) => readFileSync(path, "utf8"));
      const name = `upgrade_${version.replace(/\W/g, "_")}`;
      return { name, text: upgradeText(version, parts) };
    });
}
