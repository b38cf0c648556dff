/**
 * The console's components as a registry in shadcn's format. An item holds every file that its
 * component needs, so it can be added from an address or a path without any other setting.
 */
import { inRepository } from "../../stack/paths.ts";
import { type Block, blocks } from "./list.ts";
import { readSource, type Source } from "./source.ts";
import { readStyles, type Styles } from "./styles.ts";

/** A file of an item. */
interface ItemFile {
  path: string;
  type: "registry:component";
  target: string;
  content: string;
}

/** An item as the shadcn command reads it (https://ui.shadcn.com/schema/registry-item.json). */
export interface Item {
  $schema: string;
  name: string;
  type: "registry:block";
  title: string;
  description: string;
  docs: string;
  /** Packages of npm with their ranges. */
  dependencies: string[];
  files: ItemFile[];
  cssVars: Styles["cssVars"];
  css: Styles["css"];
}

/** The registry: its list, and its items by name. */
export interface Registry {
  index: object;
  items: Map<string, Item>;
}

const schema = "https://ui.shadcn.com/schema";
const folder = inRepository("console", "src");

/** Those that every host has, and the client, which npm does not have yet (docs/client.md). */
const given = new Set(["react", "react-dom", "@bulwark/client"]);

/** Builds all items from the sources of the console. */
export async function builtRegistry(): Promise<Registry> {
  const styles = await readStyles();
  const sources = new Map<string, Source>();
  const { devDependencies } = JSON.parse(await Deno.readTextFile(inRepository("package.json")));
  const items = new Map<string, Item>();
  for (const block of blocks) {
    const files = await closureOf(block, sources, styles);
    const packages = new Set(files.flatMap((file) => file.packages));
    const text = files.map(({ content }) => content).join("\n");
    items.set(block.name, {
      $schema: `${schema}/registry-item.json`,
      name: block.name,
      type: "registry:block",
      title: block.title,
      description: block.description,
      docs: usageOf(block),
      dependencies: [...packages].filter((name) => !given.has(name)).sort()
        .map((name) => `${name}@^${devDependencies[name]}`),
      files: files.map(({ path, content }) => ({
        path: `console/src/${path}`,
        type: "registry:component",
        target: `@components/bulwark/${path}`,
        content,
      })),
      cssVars: styles.cssVars,
      css: styles.rulesFor(text),
    });
  }
  const listed = [...items.values()].map(({ $schema: _, css: _css, cssVars: _vars, ...item }) => ({
    ...item,
    files: item.files.map(({ content: _, ...file }) => file),
  }));
  const index = {
    $schema: `${schema}/registry.json`,
    name: "bulwark",
    homepage: "docs/console.md",
    items: listed,
  };
  return { index, items };
}

/** The file of a block and all that it imports, in a stable order. */
async function closureOf(
  { name, file }: Block,
  sources: Map<string, Source>,
  styles: Styles,
): Promise<Source[]> {
  const found = new Set<string>();
  const visit = async (path: string) => {
    if (found.has(path)) return;
    found.add(path);
    const source = sources.get(path) ?? await readSource(folder, path, styles);
    sources.set(path, source);
    const stray = source.packages.find((one) => one === "@tanstack/react-router");
    if (stray || path === "connection.ts") {
      throw new TypeError(`${name} belongs to the console alone: ${path} uses ${stray ?? path}`);
    }
    for (const next of source.imports) await visit(next);
  };
  await visit(file);
  return [...found].sort().map((path) => sources.get(path)!);
}

function usageOf({ file, exports, use }: Block): string {
  const path = file.replace(/\.tsx?$/, "");
  return `import { ${exports} } from "@/components/bulwark/${path}"\n\n${use}`;
}
