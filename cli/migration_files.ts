import { CliError } from "./errors.ts";
import { migrationsFolder, type Project } from "./project.ts";

/** The names of the migrations in a project, sorted as the Supabase CLI applies them. */
export function migrationNames(project: Project): string[] {
  return project.filesBelow(migrationsFolder)
    .map((path) => path.slice(migrationsFolder.length + 1))
    .filter((name) => /^\d+_[^/]*\.sql$/.test(name))
    .sort();
}

/**
 * Versions for new migrations: timestamps a second apart, the last of them now, so that a migration
 * made right afterwards comes after them; later only where the newest that exists demands it. The
 * Supabase CLI orders files by name, so names are compared.
 */
export function nextVersions(existing: string[], count: number, now: Date): string[] {
  const newest = existing.map((name) => `${/^\d+/.exec(name)?.[0] ?? ""}_`).sort().at(-1) ?? "";
  let next = stamp(new Date(now.getTime() - (count - 1) * 1000));
  if (`${next}_` <= newest) next = following(newest.slice(0, -1).padEnd(14, "9").slice(0, 14));
  const versions: string[] = [];
  for (let left = count; left > 0; left--) {
    if (!/^\d{14}$/.test(next) || `${next}_` <= newest) {
      throw new CliError(
        "CLI_NO_TIMESTAMP_LEFT",
        `Cannot name a migration that comes after ${
          newest.slice(0, -1)
        }: give that file an earlier timestamp`,
      );
    }
    versions.push(next);
    next = following(next);
  }
  return versions;
}

function stamp(date: Date): string {
  return date.toISOString().replace(/\D/g, "").slice(0, 14);
}

/** One second later; the next number where the timestamp is no date. */
function following(version: string): string {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(version) ?? [];
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (!Number.isNaN(date.getTime()) && stamp(date) === version) {
    const later = new Date(date.getTime() + 1000);
    if (later.getUTCFullYear() <= 9999) return stamp(later);
  }
  return String(BigInt(version) + 1n).padStart(14, "0");
}
