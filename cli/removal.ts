/** Decides what an uninstallation removes and writes. Reads the project, and changes nothing. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { editedFiles } from "./clashes.ts";
import { configValue, hideSchema, removeSections } from "./config.ts";
import { packageRoot } from "./contents.ts";
import { envPath, reduceEnv } from "./environment.ts";
import { withoutIgnored } from "./ignored.ts";
import type { Lock } from "./lock.ts";
import { migrationNames, nextVersions } from "./migration_files.ts";
import type { Change, Plan } from "./plan.ts";
import { configPath, migrationsFolder, type Project } from "./project.ts";

/** The data that an uninstallation may destroy. */
export interface Permission {
  auditData: boolean;
  encryptedData: boolean;
  dependents: boolean;
}

/** The input of a removal's plan. */
export interface Removal {
  project: Project;
  lock: Lock;
  permission: Permission;
  /** The migrations were never pushed: they are removed, and none is written. */
  neverPushed: boolean;
  /** Names of migrations that a database has. */
  applied: string[];
  now: Date;
}

/** A file of SQL that the command ships. */
export function shippedSql(name: string): string {
  return readFileSync(join(packageRoot, "cli", "sql", name), "utf8");
}

/** The migration that removes exactly what is Bulwark's. */
export function uninstallMigration(permission: Permission): string {
  const query = shippedSql("dependents.sql").replace(/^--.*\n/gm, "").trim();
  return shippedSql("uninstall.sql")
    .replace("{{audit_data}}", String(permission.auditData))
    .replace("{{encrypted_data}}", String(permission.encryptedData))
    .replace("{{dependents}}", String(permission.dependents))
    .replace("{{dependents_query}}", () => query.replace(/^(?=.)/gm, "    "));
}

/** Plans the removal of everything that the lock names. */
export function planRemoval(removal: Removal): Plan {
  const { project, lock, neverPushed } = removal;
  const changes: Change[] = neverPushed ? [] : [migrationChange(removal)];
  for (const path of Object.keys(lock.files).sort()) {
    const before = project.read(path);
    const stays = path.startsWith(`${migrationsFolder}/`) && !neverPushed;
    if (before !== null && !stays) changes.push({ path, before, after: null });
  }
  changes.push(...settingsChanges(project, lock));
  const edited = editedFiles(project, lock).filter((path) =>
    changes.some((change) => change.path === path && change.after === null)
  );
  return {
    title: `Bulwark ${lock.version} is removed: ${lock.capabilities.join(", ")}`,
    changes,
    clashes: [],
    notes: [
      ...hooksLeft(project, lock),
      ...edited.map((path) => `${path} is edited; your changes go with it.`),
      ...gone(removal),
    ],
    next: nextSteps(removal),
    lock: null,
    base: new Map(),
  };
}

/** The migration, under the name that an interrupted run gave it. */
function migrationChange({ project, lock, permission, applied, now }: Removal): Change {
  const names = migrationNames(project);
  const newest = names.findLast((name) => lock.files[`${migrationsFolder}/${name}`]) ?? "";
  const begun = names.find((name) => name > newest && name.endsWith("_bulwark_uninstall.sql"));
  const [version] = nextVersions([...names, ...applied], 1, now);
  const path = `${migrationsFolder}/${begun ?? `${version}_bulwark_uninstall.sql`}`;
  return { path, before: project.read(path), after: uninstallMigration(permission) };
}

function settingsChanges(project: Project, lock: Lock): Change[] {
  const changes: Change[] = [];
  const config = project.read(configPath) ?? "";
  const hidden = lock.config.schemas ? hideSchema(config, "bulwark", lock.config.schemas) : config;
  const reduced = removeSections(hidden, lock.config.sections);
  if (reduced !== config) {
    const parts = [...hidden === config ? [] : ["api.schemas"], ...lock.config.sections];
    changes.push({ path: configPath, before: config, after: reduced, detail: parts.join(", ") });
  }
  const env = project.read(envPath);
  const left = env === null ? null : reduceEnv(env, lock.env);
  if (left !== env) {
    const after = left === "" ? null : left;
    changes.push({ path: envPath, before: env, after, secret: true, detail: lock.env.join(", ") });
  }
  const ignores = project.read("supabase/.gitignore");
  const kept = ignores === null ? null : withoutIgnored(ignores);
  // As long as other secrets are in the file, git is to ignore it.
  if (kept !== ignores && !left) {
    changes.push({ path: "supabase/.gitignore", before: ignores, after: kept });
  }
  return changes;
}

/** Hooks that somebody set to functions of Bulwark: Auth would call what is gone. */
function hooksLeft(project: Project, lock: Lock): string[] {
  const hooks = configValue(project.read(configPath) ?? "", "auth.hook") ?? {};
  return Object.entries(hooks as Record<string, { uri?: unknown } | null>)
    .filter(([name, hook]) =>
      !lock.config.sections.includes(`auth.hook.${name}`) &&
      String(hook?.uri).startsWith("pg-functions://postgres/bulwark/")
    )
    .map(([name]) =>
      `[auth.hook.${name}] of ${configPath} names a function of Bulwark: name your own again, or ` +
      "nobody can sign in after the push."
    );
}

function gone({ permission, neverPushed }: Removal): string[] {
  if (neverPushed) return ["No migration is written: none of Bulwark's was ever pushed."];
  const told = [
    ...permission.auditData ? ["the audit log with its entries"] : [],
    ...permission.encryptedData ? ["the keys of values that are encrypted"] : [],
    ...permission.dependents ? ["your objects that depend on Bulwark"] : [],
  ];
  return [
    "The migration drops the schemas bulwark and bulwark_private with organizations, roles and all",
    "other data in them, the role api_key, the jobs bulwark-*, the triggers on the auth schema, and",
    "the triggers, policies and constraints named bulwark_* on your tables.",
    ...told.length > 0 ? [`As you said, it also drops ${told.join(", ")}.`] : [],
    "Your tables, policies and triggers stay. The migration changes nothing and says why if something",
    "of yours depends on Bulwark, or data would go that you did not name.",
  ];
}

function nextSteps({ lock, neverPushed }: Removal): string[] {
  if (neverPushed) return [];
  const functions = lock.config.sections.flatMap((name) =>
    /^functions\.(.*)$/.exec(name)?.[1] ?? []
  );
  return [
    "Next, on a hosted project, before the push:",
    "  take bulwark out of the exposed schemas (Data API), and its functions out of Authentication, Hooks",
    "then:",
    "  supabase db push --remote",
    `  supabase functions delete <name>, for ${functions.join(" ")}`,
    "  supabase secrets unset <name>, and in Vault bulwark_project_url and bulwark_scheduler_secret",
  ];
}
