import { join, relative } from "node:path";
import { exists } from "../stack/binaries.ts";
import { Failure } from "../stack/failure.ts";
import { inRepository, root } from "../stack/paths.ts";
import { type RealPart, realParts } from "./real_parts.ts";

/** The test files of a run, as paths relative to the repository. */
export interface Selection {
  pgtap: string[];
  unit: string[];
  scripts: string[];
  endToEnd: string[];
  /** Tests over HTTP against real programs in Lite's place. */
  real: { part: RealPart; paths: string[] }[];
  checks: boolean;
  /** The pages of documents that were named; none: all of the chosen files. */
  pages: string[];
  /** How subsets of the capabilities are tested: briefly with all tests, thoroughly if asked for. */
  subsets: "none" | "brief" | "thorough";
}

/**
 * Tests that run only when they are named, to save time: rehearsals, whose parts other tests have;
 * the documents; pushes by every path of the Supabase CLI; the sample application and the guide's
 * receivers in foreign frameworks; and most screens in a browser, over calls that other tests make.
 */
const rehearsals = new RegExp(
  "^tests/(adopters/pushes|api/page|client/(recipes|sample)|console/(?!console|verify)|documents/" +
    "|restores/(backup|drill)|runbooks/)",
);

/** The folder of pgTAP files that commit the shared helpers. */
export const helpers = "supabase/tests/000_helpers/";
const conventions = "supabase/tests/foundation/conventions.test.sql";
const installed = "supabase/tests/bulwark_installed.test.sql";

/**
 * Finds the test files for some nouns, or all of them for none. A noun is a capability
 * (`rate_limits` or `rate-limits`: everything below a folder of that name), a file of one
 * (`rbac/races`), a page of the documents (`documents/audit-archive`), or a part of the tools: `stack`
 * (everything below scripts/), `check`, `subsets`. The conventions of the schema are tested with each
 * capability. Real programs in Lite's place (`real_auth`, `real_postgrest`) and rehearsals are tested
 * only when they are named.
 */
export async function select(nouns: string[]): Promise<Selection> {
  const pgtap = (await filesBelow("supabase/tests", ".test.sql"))
    .filter((path) => !path.startsWith(helpers));
  const scripts = await filesBelow("scripts", ".test.ts");
  const real = realParts.filter(({ noun }) => nouns.includes(noun));
  const all = (await filesBelow("tests", ".test.ts"))
    .filter((path) => !realParts.some(({ noun }) => path.startsWith(`tests/${noun}/`)));
  const unit = all.filter((path) => path.includes("/unit/"));
  const endToEnd = all.filter((path) => !path.includes("/unit/"));
  if (nouns.length === 0) {
    return {
      pgtap,
      unit,
      scripts,
      endToEnd: endToEnd.filter((path) => !rehearsals.test(path)),
      real: [],
      checks: true,
      pages: [],
      subsets: "brief",
    };
  }

  const wanted = nouns.map((noun) => noun.replaceAll("-", "_"));
  const named = (path: string) =>
    wanted.some((noun) =>
      noun.includes("/")
        ? path.replace("/unit/", "/").includes(`/${noun}`)
        : path.split("/").slice(0, -1).includes(noun)
    );
  const pages = await pagesOf(wanted);
  const selection: Selection = {
    pgtap: pgtap.filter(named),
    unit: unit.filter(named),
    scripts: wanted.includes("stack") ? scripts : scripts.filter(named),
    endToEnd: endToEnd.filter((path) => named(path) || pages.has(path)),
    real: await Promise.all(real.map(async (part) => ({ part, paths: await realPaths(part) }))),
    checks: wanted.includes("check"),
    // All of a file that is named itself.
    pages: endToEnd.some((path) => isDocument(path) && named(path) && !pages.has(path))
      ? []
      : [...pages.values()].flat(),
    subsets: wanted.includes("subsets") ? "thorough" : "none",
  };
  if (selection.pgtap.length > 0) {
    selection.pgtap = [...new Set([conventions, installed, ...selection.pgtap])];
  }
  return selection;
}

/** The pages that are named (`documents/rbac`), by the files that test them. */
async function pagesOf(nouns: string[]): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for (const path of await filesBelow("tests/documents", ".test.ts")) {
    const source = await Deno.readTextFile(inRepository(path));
    const named = (source.match(/(?<=")[^"]+\.md(?=")/g) ?? []).filter((page) =>
      nouns.includes(`documents/${nounOf(page)}`)
    );
    if (named.length > 0) found.set(path, named);
  }
  return found;
}

const isDocument = (path: string) => path.startsWith("tests/documents/");

const nounOf = (page: string) =>
  page.replace(/^docs\/|\.md$/g, "").replaceAll("-", "_").toLowerCase();

/** The test files of a real part: its own, and those of the nouns that meet it. */
async function realPaths({ noun, variable, shared }: RealPart): Promise<string[]> {
  if (!Deno.env.get(variable)) {
    throw new Failure("NO_PROGRAM", `Cannot test ${noun}: ${variable} names no program`, 2);
  }
  return [...await filesBelow(`tests/${noun}`, ".test.ts"), ...shared];
}

/** All files below a folder whose names end in `suffix`, sorted, relative to the repository. */
export async function filesBelow(folder: string, suffix: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (path: string) => {
    for await (const entry of Deno.readDir(path)) {
      const child = join(path, entry.name);
      if (entry.isDirectory && !["node_modules", "dist"].includes(entry.name)) await walk(child);
      else if (entry.name.endsWith(suffix)) found.push(relative(root, child));
    }
  };
  if (exists(inRepository(folder))) await walk(inRepository(folder));
  return found.sort();
}
