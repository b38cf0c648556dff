/** Decides what an installation writes. Reads the project, and changes nothing. */
import { addSections, configValue, exposeSchema, sectionsFor } from "./config.ts";
import { hints } from "./clashes.ts";
import type { Contents, ShippedMigration } from "./contents.ts";
import { envPath, extendEnv, variablesFor } from "./environment.ts";
import { isIgnored, withIgnored } from "./ignored.ts";
import { isUnedited, type Lock, type LockedFile, readBase } from "./lock.ts";
import { migrationNames, nextVersions } from "./migration_files.ts";
import type { Change, Plan } from "./plan.ts";
import { configPath, hashOf, migrationsFolder, type Project } from "./project.ts";
import { besidePath, type Resolution } from "./upgrading.ts";

/** The input of a plan. */
export interface Installation {
  project: Project;
  contents: Contents;
  /** The lock of an earlier run. */
  lock: Lock | null;
  /** Names of migrations that a database has. */
  applied: string[];
  now: Date;
  /** The outcome for each edited file; the others stay as they are. */
  resolutions?: Resolution[];
  /** The migrations of an upgrade. */
  upgrades?: ShippedMigration[];
}

/** Plans an installation, an upgrade, or what is missing of one. */
export function planInstallation(title: string, installation: Installation): Plan {
  const { project, contents, lock } = installation;
  const state: State = { files: {}, changes: [], notes: [], base: readBase(project) };
  planMigrations(installation, state);
  planFunctions(installation, state);
  planRemoved(installation, state);
  const config = configOf(installation, state.changes);
  const env = envOf(installation, state.changes);
  return {
    title,
    changes: state.changes,
    clashes: [],
    notes: [...state.notes, ...hints(project, lock)],
    next: [],
    base: state.base,
    lock: {
      version: contents.version,
      capabilities: contents.capabilities,
      files: state.files,
      config,
      env,
    },
  };
}

/** The plan while its parts are added. */
interface State {
  files: Record<string, LockedFile>;
  changes: Change[];
  notes: string[];
  base: Map<string, string>;
}

/** The migrations of the lock, and new ones for what it lacks. The start ends each addition. */
function planMigrations(installation: Installation, { files, changes, notes }: State): void {
  const { project, contents, lock, applied, now, upgrades = [] } = installation;
  const shipped = new Map(
    [...contents.migrations, ...upgrades].map((each) => [each.name, each.text]),
  );
  const present = new Set<string>();
  for (const [path, locked] of Object.entries(lock?.files ?? {})) {
    const name = new RegExp(`^${migrationsFolder}/\\d+_bulwark_(\\w+)\\.sql$`).exec(path)?.[1];
    if (!name) continue;
    present.add(name);
    files[path] = locked;
    const there = project.read(path);
    if (there !== null && hashOf(there) !== locked.sha256) {
      notes.push(`${path} is edited: a database that has it already stays without the edit.`);
    }
    if (there !== null) continue;
    // A run that was interrupted, or the file was removed.
    const text = shipped.get(name) ?? "";
    if (hashOf(text) === locked.sha256) changes.push({ path, before: null, after: text });
    else notes.push(`${path} is missing, and no part of this version: restore it.`);
  }
  const isNew = ({ name }: ShippedMigration) => name !== "start" && !present.has(name);
  const wanted = [...upgrades.filter(isNew), ...contents.migrations.filter(isNew)];
  const needsStart = contents.migrations.some(isNew) || !present.has("start");
  if (needsStart) wanted.push(...contents.migrations.filter(({ name }) => name === "start"));
  const versions = nextVersions([...migrationNames(project), ...applied], wanted.length, now);
  wanted.forEach(({ name, text }, index) => {
    const path = `${migrationsFolder}/${versions[index]}_bulwark_${name}.sql`;
    files[path] = { sha256: hashOf(text) };
    changes.push({ path, before: null, after: text });
  });
}

function planFunctions(installation: Installation, { files, changes, notes, base }: State): void {
  const { project, contents, lock, resolutions = [] } = installation;
  for (const [path, text] of contents.functions) {
    const before = project.read(path);
    const locked = lock?.files[path];
    const isEdited = before !== null && locked && !isUnedited(locked, hashOf(before));
    const resolution = resolutions.find((each) => each.path === path);
    if (isEdited && !resolution) {
      notes.push(`${path} is edited and stays as it is.`);
      files[path] = locked;
      continue;
    }
    files[path] = { sha256: hashOf(text) };
    base.set(path, text);
    const after = resolution ? resolution.text : text;
    if (resolution?.text === null) {
      const beside = besidePath(path, contents.version);
      notes.push(`${path} is edited and stays; compare it with ${beside}, then remove that file.`);
      changes.push({ path: beside, before: project.read(beside), after: resolution.beside });
    }
    if (after === null || before !== null && hashOf(before) === hashOf(after)) continue;
    const detail = resolution ? { detail: "your changes merged" } : {};
    changes.push({ path, before, after, ...detail });
  }
}

/** Files that this version does not have any more. */
function planRemoved({ project, contents, lock }: Installation, { changes, notes, base }: State) {
  for (const [path, locked] of Object.entries(lock?.files ?? {})) {
    if (contents.functions.has(path) || path.startsWith(`${migrationsFolder}/`)) continue;
    const before = project.read(path);
    base.delete(path);
    if (before === null) continue;
    if (isUnedited(locked, hashOf(before))) changes.push({ path, before, after: null });
    else notes.push(`${path} is edited and stays, though Bulwark has it no more.`);
  }
}

function configOf({ project, contents, lock }: Installation, changes: Change[]): Lock["config"] {
  const before = project.read(configPath) ?? "";
  const wanted = sectionsFor(contents.functionNames);
  const exposed = exposeSchema(before, "bulwark");
  const after = addSections(exposed, wanted);
  const added = wanted.filter(({ name }) => configValue(before, name) === undefined);
  if (after !== before) {
    const parts = [...exposed === before ? [] : ["api.schemas"], ...added.map(({ name }) => name)];
    changes.push({ path: configPath, before, after, detail: parts.join(", ") });
  }
  const isListed = configValue(before, "api.schemas") !== undefined;
  const schemas = lock?.config.schemas ??
    (exposed === before ? undefined : isListed ? "extended" : "added");
  return {
    ...schemas ? { schemas } : {},
    sections: [...new Set([...lock?.config.sections ?? [], ...added.map(({ name }) => name)])],
  };
}

function envOf({ project, contents, lock }: Installation, changes: Change[]): string[] {
  const before = project.read(envPath);
  const { text, added } = extendEnv(before, variablesFor(contents.capabilities));
  if (added.length > 0) {
    changes.push({ path: envPath, before, after: text, secret: true, detail: added.join(", ") });
  }
  if (added.length > 0 && !isIgnored(project, envPath)) {
    const ignoreFile = "supabase/.gitignore";
    const ignores = project.read(ignoreFile);
    const detail = "keeps the secrets out of git";
    changes.push({ path: ignoreFile, before: ignores, after: withIgnored(ignores), detail });
  }
  return [...new Set([...lock?.env ?? [], ...added])];
}
