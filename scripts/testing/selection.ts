import { basename, join, relative } from "node:path";
import { exists } from "../stack/binaries.ts";
import { inRepository, root } from "../stack/paths.ts";

/** The test files of a run, as paths relative to the repository. */
export interface Selection {
  pgtap: string[];
  functions: string[];
  scripts: string[];
  endToEnd: string[];
  checks: boolean;
}

/**
 * Finds the test files for some nouns, or all of them for none. A noun names a capability
 * (`rbac`: `rbac*.test.sql`, `rbac*.test.ts`, `functions/rbac/`, `scripts/rbac/`), with which the conventions of the
 * schema are tested as well, or a part of the tools: `stack` (everything below scripts/), `check`.
 */
export async function select(nouns: string[]): Promise<Selection> {
  const pgtap = await filesBelow("supabase/tests", ".test.sql");
  const functions = await filesBelow("supabase/functions", ".test.ts");
  const scripts = await filesBelow("scripts", ".test.ts");
  const endToEnd = await filesBelow("tests", ".test.ts");
  if (nouns.length === 0) return { pgtap, functions, scripts, endToEnd, checks: true };

  const named = (path: string) =>
    nouns.some((noun) =>
      new RegExp(`^(\\d+_)?${noun}([._-].*)?\\.test\\.(sql|ts)$`).test(basename(path)) ||
      path.startsWith(join("supabase", "functions", noun, "/")) ||
      path.startsWith(join("supabase", "functions", "_shared", noun, "/"))
    );
  const selection = {
    pgtap: pgtap.filter(named),
    functions: functions.filter(named),
    scripts: scripts.filter((path) =>
      nouns.includes("stack") || nouns.some((noun) => path.startsWith(join("scripts", noun, "/")))
    ),
    endToEnd: endToEnd.filter(named),
    checks: nouns.includes("check"),
  };
  if (selection.pgtap.length > 0) {
    const conventions = pgtap.filter((path) => path.includes("conventions"));
    selection.pgtap = [...new Set([...conventions, ...selection.pgtap])];
  }
  return selection;
}

/** All files below a folder whose names end in `suffix`, sorted, relative to the repository. */
export async function filesBelow(folder: string, suffix: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (path: string) => {
    for await (const entry of Deno.readDir(path)) {
      const child = join(path, entry.name);
      if (entry.isDirectory && entry.name !== "node_modules") await walk(child);
      else if (entry.name.endsWith(suffix)) found.push(relative(root, child));
    }
  };
  if (exists(inRepository(folder))) await walk(inRepository(folder));
  return found.sort();
}
