/** An empty project of Vite and Tailwind, to which the shadcn command adds the blocks. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { inRepository } from "../../scripts/stack/paths.ts";
import { url } from "../support.ts";

const client = inRepository("clients", "js", "src");

const files: Record<string, string> = {
  "package.json": JSON.stringify({ name: "host", private: true, type: "module" }),
  "components.json": JSON.stringify({
    style: "new-york",
    rsc: false,
    tsx: true,
    // Without a base colour, whose values the command would ask its home for.
    tailwind: { config: "", css: "src/index.css", baseColor: "", cssVariables: true },
    aliases: {
      components: "@/components",
      ui: "@/components/ui",
      lib: "@/lib",
      utils: "@/lib/utils",
      hooks: "@/hooks",
    },
  }),
  "tsconfig.json": JSON.stringify({
    compilerOptions: {
      target: "ES2022",
      lib: ["ES2022", "DOM", "DOM.Iterable"],
      module: "ESNext",
      moduleResolution: "Bundler",
      jsx: "react-jsx",
      types: ["vite/client"],
      noEmit: true,
      skipLibCheck: true,
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noUnusedLocals: true,
      noUnusedParameters: true,
      verbatimModuleSyntax: true,
      // The client comes as source here.
      allowImportingTsExtensions: true,
      paths: {
        "@/*": ["./src/*"],
        "@bulwark/client": [`${client}/index.ts`],
        "@bulwark/client/errors": [`${client}/errors.ts`],
        "@bulwark/client/react-query": [`${client}/react_query.ts`],
      },
    },
    include: ["src"],
  }),
  "vite.config.ts": `import { fileURLToPath } from "node:url";
import tailwind from "@tailwindcss/vite";
export default {
  plugins: [tailwind()],
  resolve: {
    alias: [
      { find: "@bulwark/client/errors", replacement: ${JSON.stringify(`${client}/errors.ts`)} },
      {
        find: "@bulwark/client/react-query",
        replacement: ${JSON.stringify(`${client}/react_query.ts`)},
      },
      { find: /^@bulwark\\/client$/, replacement: ${JSON.stringify(`${client}/index.ts`)} },
      { find: /^@\\//, replacement: fileURLToPath(new URL("./src/", import.meta.url)) },
    ],
  },
};
`,
  "index.html": `<!doctype html>
<html lang="en">
  <head>
    <title>Host</title>
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <link rel="icon" href="data:," />
    <script src="/theme.js"></script>
  </head>
  <body><div id="root"></div><script type="module" src="/src/page.tsx"></script></body>
</html>
`,
  "public/theme.js": `const dark = matchMedia("(prefers-color-scheme: dark)");
const apply = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", apply);
apply();
`,
  "src/index.css": `@import "tailwindcss";
@custom-variant dark (&:is(.dark *));
:root {
  --background: #fafaf9;
  --foreground: #1c1917;
  --card: #ffffff;
  --popover: #ffffff;
  --primary: #6d28d9;
  --primary-foreground: #ffffff;
  --muted: #f5f5f4;
  --muted-foreground: #57534e;
  --destructive: #b91c1c;
  --border: #e7e5e4;
  --input: #78716c;
}
.dark {
  --background: #0c0a09;
  --foreground: #f5f5f4;
  --card: #1c1917;
  --popover: #1c1917;
  --primary: #c4b5fd;
  --primary-foreground: #1c1917;
  --muted: #292524;
  --muted-foreground: #a8a29e;
  --destructive: #fca5a5;
  --border: #292524;
  --input: #78716c;
}
@theme inline {
  --color-background: var(--background);
  --color-foreground: var(--foreground);
  --color-card: var(--card);
  --color-popover: var(--popover);
  --color-primary: var(--primary);
  --color-primary-foreground: var(--primary-foreground);
  --color-muted: var(--muted);
  --color-muted-foreground: var(--muted-foreground);
  --color-destructive: var(--destructive);
  --color-border: var(--border);
  --color-input: var(--input);
}
body {
  background: var(--background);
  color: var(--foreground);
}
`,
};

interface Item {
  name: string;
  dependencies?: string[];
}

/** Adds all blocks of the stack's registry, checks the types, and builds. */
export async function buildHost(folder: string): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await Deno.mkdir(join(folder, path, ".."), { recursive: true });
    await Deno.writeTextFile(join(folder, path), text);
  }
  await Deno.symlink(inRepository("node_modules"), join(folder, "node_modules"));
  await Deno.copyFile(
    inRepository("tests", "console", "blocks_page.tsx"),
    join(folder, "src", "page.tsx"),
  );
  const paths = [];
  for (const { name } of (await read<{ items: Item[] }>("registry")).items) {
    // The packages are those of the repository, so npm is not asked for them.
    const { dependencies: _, ...item } = await read<Item>(name);
    paths.push(`./${name}.json`);
    await Deno.writeTextFile(join(folder, `${name}.json`), JSON.stringify(item));
  }
  const program = (...path: string[]) => join(folder, "node_modules", ...path);
  await run(folder, program("shadcn", "dist", "index.js"), "add", ...paths, "--yes");
  await run(folder, program("typescript", "bin", "tsc"), "-p", ".");
  await run(folder, program("vite", "bin", "vite.js"), "build", "--logLevel", "error");
}

async function read<Content>(name: string): Promise<Content> {
  const answer = await fetch(`${url}/r/${name}.json`);
  assert.equal(answer.status, 200, name);
  return await answer.json();
}

async function run(cwd: string, ...args: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command("node", { args, cwd }).output();
  const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  assert.ok(success, output);
}
