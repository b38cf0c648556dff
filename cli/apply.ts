import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { CliError, reason } from "./errors.ts";
import { baseBytes, basePath, type Lock, lockPath, lockText } from "./lock.ts";
import type { Change, Plan } from "./plan.ts";
import type { Project } from "./project.ts";

/**
 * Carries out a plan. Each file is written beside its place and renamed, and all of it happens
 * without a pause in which a signal would be served, so Ctrl-C leaves no half. The lock comes first:
 * a run that is killed, or finds the disk full, leaves a lock that names all files, and the next run
 * writes those that are missing.
 */
export function applyPlan(project: Project, plan: Plan): void {
  for (const { path, before } of plan.changes) {
    if (project.read(path) === before) continue;
    throw new CliError(
      "CLI_CHANGED_MEANWHILE",
      `Cannot write ${path}: it has just changed; run again`,
    );
  }
  if (plan.lock) write(project, lockPath, lockText(underWay(project, plan, plan.lock)));
  for (const change of plan.changes) carryOut(project, change);
  if (plan.lock) {
    write(project, basePath, baseBytes(plan.base));
    write(project, lockPath, lockText(plan.lock));
  } else {
    remove(project, basePath);
    remove(project, lockPath);
  }
}

/** The lock while files are replaced: it also accepts each file as it was, in the version before. */
function underWay(project: Project, plan: Plan, lock: Lock): Lock {
  const text = project.read(lockPath);
  const previous = text === null ? null : JSON.parse(text) as Lock;
  const changed = new Set(plan.changes.map(({ path }) => path));
  const files: Lock["files"] = { ...previous?.files };
  for (const [path, file] of Object.entries(lock.files)) {
    const was = changed.has(path) ? files[path]?.sha256 : undefined;
    files[path] = was && was !== file.sha256 ? { ...file, was } : file;
  }
  return { ...lock, version: previous?.version ?? lock.version, files };
}

function carryOut(project: Project, change: Change): void {
  if (change.after === null) remove(project, change.path);
  else write(project, change.path, change.after, change.secret ? 0o600 : undefined);
}

/** Writes a file so that it is there whole or not at all; an existing one keeps its mode. */
function write(project: Project, path: string, content: string | Uint8Array, mode?: number): void {
  const target = join(project.root, path);
  // A symbolic link stays one.
  const file = existsSync(target) ? realpathSync(target) : target;
  const beside = `${file}.bulwark-tmp`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    const kept = mode ?? (existsSync(file) ? statSync(file).mode & 0o777 : undefined);
    rmSync(beside, { force: true });
    writeFileSync(beside, content, { mode: kept ?? 0o666, flag: "wx" });
    if (kept !== undefined) chmodSync(beside, kept);
    renameSync(beside, file);
  } catch (thrown) {
    try {
      rmSync(beside, { force: true });
    } catch {
      // The first error is the one to report.
    }
    throw new CliError(
      "CLI_WRITE_FAILED",
      `Cannot write ${path}: ${reason(thrown)}; run the command again to complete it`,
    );
  }
}

/** Removes a file and the folders that are empty without it. */
function remove(project: Project, path: string): void {
  try {
    rmSync(join(project.root, path), { force: true });
    for (let folder = dirname(path); folder.includes("/"); folder = dirname(folder)) {
      const full = join(project.root, folder);
      if (!existsSync(full)) continue;
      if (readdirSync(full).length > 0) return;
      rmdirSync(full);
    }
  } catch (thrown) {
    throw new CliError(
      "CLI_WRITE_FAILED",
      `Cannot remove ${path}: ${reason(thrown)}; run the command again to complete it`,
    );
  }
}
