import { spawnSync } from "node:child_process";
import type { Project } from "./project.ts";

const line = "functions/.env";

/** Whether git ignores a file; false where there is no repository yet. */
export function isIgnored(project: Project, path: string): boolean {
  if (project.read("supabase/.gitignore")?.split(/\r?\n/).includes(line)) return true;
  const git = spawnSync("git", ["-C", project.root, "check-ignore", "--quiet", path]);
  return git.status === 0;
}

/** The .gitignore with a line for the functions' secrets. */
export function withIgnored(text: string | null): string {
  const end = text?.includes("\r\n") ? "\r\n" : "\n";
  const before = text === null || text === "" ? "" : text.endsWith("\n") ? text : text + end;
  return `${before}${line}${end}`;
}

/** The .gitignore without that line; null if nothing else is in it. */
export function withoutIgnored(text: string): string | null {
  const kept = text.replace(new RegExp(`^${line.replaceAll(".", "\\.")}\\r?\\n`, "m"), "");
  return kept === "" ? null : kept;
}
