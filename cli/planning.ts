/** Decides what an installation writes. Reads the project, and changes nothing. */
import { addSections, configValue, exposeSchema, sectionsFor } from "./config.ts";
import { hints } from "./clashes.ts";
import type { Contents } from "./contents.ts";
import { envPath, extendEnv, variablesFor } from "./environment.ts";
import { isIgnored, withIgnored } from "./ignored.ts";
import { isUnedited, type Lock, type LockedFile, readBase } from "./lock.ts";
import { migrationNames, nextVersions } from "./migration_files.ts";
import type { Change, Plan } from "./plan.ts";
import { configPath, hashOf, migrationsFolder, type Project } from "./project.ts";

/** What a plan is made from. */
export interface Installation {
  project: Project;
  contents: Contents;
  /** The lock of an earlier run. */
  lock: Lock | null;
  /** Names of migrations that a database has. */
  applied: string[];
  now: Date;
}

/** Plans an installation, or what is missing of one. Files that the user edited stay as they are. */
export function planInstallation(title: string, installation: Installation): Plan {
  const { project, contents, lock } = installation;
  const files: Record<string, LockedFile> = {};
  const base = readBase(project);
  const changes: Change[] = [];
  const notes: string[] = [];

  for (const [path, text] of migrationsOf(installation)) {
    files[path] = { sha256: hashOf(text) };
    const before = project.read(path);
    if (before === null) changes.push({ path, before, after: text });
  }
  for (const [path, text] of contents.functions) {
    const before = project.read(path);
    const locked = lock?.files[path];
    const keeps = before !== null && locked && !isUnedited(locked, hashOf(before));
    if (keeps) notes.push(`${path} is edited and stays as it is.`);
    files[path] = keeps ? locked : { sha256: hashOf(text) };
    if (!keeps) base.set(path, text);
    if (!keeps && (before === null || hashOf(before) !== hashOf(text))) {
      changes.push({ path, before, after: text });
    }
  }
  const config = configOf(installation, changes);
  const env = envOf(installation, changes);
  return {
    title,
    changes,
    clashes: [],
    notes: [...notes, ...hints(project, lock)],
    next: [],
    base,
    lock: {
      version: contents.version,
      capabilities: contents.capabilities,
      files: { ...lock?.files, ...files },
      config,
      env,
    },
  };
}

/** The migrations by path: those of the lock, and new ones for what it lacks. */
function migrationsOf(
  { project, contents, lock, applied, now }: Installation,
): Map<string, string> {
  const present = new Map<string, string[]>();
  for (const path of Object.keys(lock?.files ?? {}).sort()) {
    const name = new RegExp(`^${migrationsFolder}/\\d+_bulwark_(\\w+)\\.sql$`).exec(path)?.[1];
    if (name) present.set(name, [...present.get(name) ?? [], path]);
  }
  const missing = contents.migrations.filter(({ name }) => name !== "start" && !present.has(name));
  const start = contents.migrations.filter(({ name }) => name === "start");
  const wanted = missing.length > 0 || !present.has("start") ? [...missing, ...start] : [];
  const versions = nextVersions([...migrationNames(project), ...applied], wanted.length, now);
  const found = new Map<string, string>();
  for (const { name, text } of contents.migrations) {
    for (const path of present.get(name) ?? []) found.set(path, text);
  }
  wanted.forEach(({ name, text }, index) => {
    found.set(`${migrationsFolder}/${versions[index]}_bulwark_${name}.sql`, text);
  });
  return found;
}

function configOf({ project, contents, lock }: Installation, changes: Change[]): Lock["config"] {
  const before = project.read(configPath) ?? "";
  const wanted = sectionsFor(contents.functionNames);
  const exposed = exposeSchema(before, "bulwark");
  const after = addSections(exposed, wanted);
  if (after !== before) {
    changes.push({ path: configPath, before, after, detail: "api.schemas, hook, functions" });
  }
  const added = wanted.filter(({ name }) => configValue(before, name) === undefined);
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
