/** Finds what a project has already of what Bulwark would make. */
import { matchesGlob } from "./glob.ts";
import { configValue, hookSection } from "./config.ts";
import type { Contents } from "./contents.ts";
import { isUnedited, type Lock } from "./lock.ts";
import type { Clash } from "./plan.ts";
import { configPath, functionsFolder, hashOf, migrationsFolder, type Project } from "./project.ts";

/** All clashes that files show. The database may have more: see `databaseClashes`. */
export function fileClashes(project: Project, contents: Contents, lock: Lock | null): Clash[] {
  return [
    ...foreignFiles(project, contents, lock),
    ...foreignObjects(project, lock),
    ...configClashes(project, contents, lock),
  ];
}

/** Files and folders in the places of ours that the lock does not know, with other contents. */
function foreignFiles(project: Project, contents: Contents, lock: Lock | null): Clash[] {
  const isForeign = (path: string) => {
    if (lock?.files[path]) return false;
    const shipped = contents.functions.get(path);
    return shipped === undefined || hashOf(project.read(path) ?? "") !== hashOf(shipped);
  };
  const paths = [...contents.functions.keys()];
  const isOfFunction = (path: string) => path.startsWith(`${functionsFolder}/`);
  const folders = new Set(
    paths.filter(isOfFunction).map((path) =>
      path.split("/").slice(0, path.includes("/_bulwark/") ? 4 : 3).join("/")
    ),
  );
  const clashes: Clash[] = paths
    .filter((path) => !isOfFunction(path) && project.exists(path) && isForeign(path))
    .map((path) => ({ where: path, problem: "exists and is not Bulwark's" }));
  for (const folder of folders) {
    const strangers = project.filesBelow(folder).filter(isForeign);
    const belongsToUs = Object.keys(lock?.files ?? {}).some((path) =>
      path.startsWith(`${folder}/`)
    );
    if (project.exists(folder) && !project.isFolder(folder)) {
      clashes.push({ where: folder, problem: "is a file, where Bulwark has a folder" });
    } else if (!belongsToUs && strangers.length > 0) {
      clashes.push({ where: folder, problem: "exists and is not Bulwark's: rename your function" });
    } else {
      for (const path of strangers.filter((path) => contents.functions.has(path))) {
        clashes.push({ where: path, problem: "exists and is not Bulwark's" });
      }
    }
  }
  return clashes;
}

/** Schemas and the role that SQL of the project leaves behind, in the order of its files. */
function foreignObjects(project: Project, lock: Lock | null): Clash[] {
  const found = new Map<string, Clash>();
  const sql = [...declared(project), ...project.filesBelow(migrationsFolder)];
  for (const path of sql.filter((path) => path.endsWith(".sql") && !lock?.files[path])) {
    const text = (project.read(path) ?? "").replace(/--[^\n]*|\/\*[\s\S]*?\*\//g, " ");
    const statement =
      /\b(create|drop)\s+(schema|role|user|group)\s+(?:if\s+(?:not\s+)?exists\s+)?([^;]*)/gi;
    for (const [, verb = "", kind = "", rest = ""] of text.matchAll(statement)) {
      const isSchema = kind.toLowerCase() === "schema";
      const names = isSchema ? ["bulwark", "bulwark_private"] : ["api_key"];
      for (const name of names.filter((name) => namesIt(rest, name, verb))) {
        const object = `${isSchema ? "schema" : "role"} ${name}`;
        if (verb.toLowerCase() === "drop") found.delete(object);
        else found.set(object, { where: path, problem: `creates ${object}` });
      }
    }
  }
  return [...found.values()];
}

/** Whether a name is what a statement creates, or among what it drops. */
function namesIt(rest: string, name: string, verb: string): boolean {
  const list = verb.toLowerCase() === "drop" ? rest.split(",") : [rest];
  return list.some((part) => new RegExp(`^\\s*"?${name}"?(?![\\w$"])`, "i").test(part));
}

/** The SQL files that the declarative schema of the project consists of. */
function declared(project: Project): string[] {
  const patterns = schemaPaths(project);
  return project.filesBelow("supabase")
    .filter((path) => !path.startsWith(`${migrationsFolder}/`))
    .filter((path) => patterns.some((pattern) => matchesGlob(path, pattern)));
}

/** The patterns of db.migrations.schema_paths, relative to the project. */
export function schemaPaths(project: Project): string[] {
  const value = configValue(project.read(configPath) ?? "", "db.migrations.schema_paths");
  const patterns = Array.isArray(value) ? value.filter((path) => typeof path === "string") : [];
  return patterns.map((path) => `supabase/${path.replace(/^(\.\/)+/, "")}`);
}

function configClashes(project: Project, contents: Contents, lock: Lock | null): Clash[] {
  const text = project.read(configPath) ?? "";
  const clashes: Clash[] = [];
  for (const name of contents.functionNames) {
    const section = `functions.${name}`;
    if (lock?.config.sections.includes(section)) continue;
    const value = configValue(text, section) as { verify_jwt?: unknown } | undefined;
    if (value === undefined || value.verify_jwt === false) continue;
    clashes.push({
      where: configPath,
      problem: `[${section}] exists and does not have verify_jwt = false`,
    });
  }
  return clashes;
}

/** Advice about the project's own hook, and other things that no file can settle. */
export function hints(project: Project, lock: Lock | null): string[] {
  const text = project.read(configPath) ?? "";
  const lines: string[] = [];
  const hook = configValue(text, hookSection) as { uri?: unknown } | undefined;
  if (hook && !lock?.config.sections.includes(hookSection)) {
    lines.push(...hookHint(typeof hook.uri === "string" ? hook.uri : ""));
  }
  const remotes = configValue(text, "remotes");
  for (const [name, remote] of Object.entries((remotes ?? {}) as Record<string, unknown>)) {
    const schemas = (remote as { api?: { schemas?: unknown } } | null)?.api?.schemas;
    if (Array.isArray(schemas) && !schemas.includes("bulwark")) {
      lines.push(`Add "bulwark" to schemas in [remotes.${name}.api] of ${configPath} yourself.`);
    }
  }
  const ours = `${migrationsFolder}/20000101000000_bulwark_rbac.sql`;
  const patterns = schemaPaths(project);
  if (patterns.length > 0 && !patterns.some((pattern) => matchesGlob(ours, pattern))) {
    lines.push(
      'Your schema is declarative: put "./migrations/*_bulwark_*.sql" first in schema_paths, and',
      "policies and calls that use Bulwark into your schema files. Otherwise a diff would drop them.",
    );
  }
  return lines;
}

function hookHint(uri: string): string[] {
  const name = /^pg-functions:\/\/[^/]+\/([\w$]+)\/([\w$]+)$/.exec(uri);
  if (name?.[1] === "bulwark") return [];
  const keeping = name
    ? [
      "To have Bulwark's claims too, set its uri to",
      "pg-functions://postgres/bulwark/custom_access_token_hook, and in a migration:",
      `  update bulwark.settings set value = '"${name[1]}.${name[2]}"'`,
      "  where name = 'rbac.next_access_token_hook';",
      "Bulwark's hook calls yours first. Claims are for display, so you may also leave it as it is.",
    ]
    : ["Claims are for display, so you may leave it as it is."];
  return [`[${hookSection}] is yours and is not changed.`, ...keeping];
}

/** The files of the lock that the user edited, with what the lock knows of them. */
export function editedFiles(project: Project, lock: Lock): string[] {
  return Object.entries(lock.files)
    .filter(([path, file]) => {
      const text = project.read(path);
      return text !== null && !isUnedited(file, hashOf(text));
    })
    .map(([path]) => path);
}
