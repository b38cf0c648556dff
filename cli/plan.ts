import type { Lock } from "./lock.ts";

/** All that a command will do, decided before anything is written. */
export interface Plan {
  /** One line: the command's name for what it does. */
  title: string;
  changes: Change[];
  /** Clashes with the project. Nothing is written while there is any. */
  clashes: Clash[];
  /** Information about what is done and left, before the question. */
  notes: string[];
  /** The next steps of the user. */
  next: string[];
  /** The lock afterwards; null removes it. */
  lock: Lock | null;
  /** The shipped texts afterwards, for later merges. */
  base: Map<string, string>;
}

/** A change of one file of the project. */
export interface Change {
  path: string;
  /** The text before; null creates the file. */
  before: string | null;
  /** The text afterwards; null removes the file. */
  after: string | null;
  /** Only its owner may read the file. */
  secret?: true;
  /** A word or two for the listing. */
  detail?: string;
}

/** Something of the project that Bulwark would have to take over. */
export interface Clash {
  where: string;
  problem: string;
}

/** The plan in lines: changes, grouped where a folder has many, then notes. */
export function describePlan(plan: Plan): string[] {
  const lines = [plan.title, ""];
  const groups = new Map<string, Change[]>();
  for (const change of plan.changes) {
    const key = `${verb(change)} ${change.detail ? change.path : groupOf(change.path)}`;
    groups.set(key, [...groups.get(key) ?? [], change]);
  }
  for (const [key, changes] of groups) {
    const [word = "", path = ""] = key.split(/ (.*)/);
    const [first] = changes;
    const detail = changes.length > 1 ? `${changes.length} files` : first?.detail ?? "";
    const shown = changes.length > 1 ? `${path}/` : first?.path ?? path;
    lines.push(`  ${word.padEnd(6)}  ${shown}${detail ? `  (${detail})` : ""}`);
  }
  if (plan.changes.length === 0) lines.push("  Nothing to write.");
  if (plan.notes.length > 0) lines.push("", ...plan.notes);
  return lines;
}

function verb({ before, after }: Change): string {
  if (after === null) return "remove";
  return before === null ? "create" : "change";
}

/** Files of functions are listed by their folder. */
function groupOf(path: string): string {
  return /^supabase\/functions\/(?:_bulwark\/[^/]+|[^/]+)(?=\/)/.exec(path)?.[0] ?? path;
}
