/**
 * `npm run docs`: writes the site of the documents as static files, which any server serves.
 *
 *   npm run docs                  to dist/docs
 *   npm run docs -- --out <folder>
 */
import { dirname, join } from "node:path";
import { buildSite } from "./documents/site.ts";
import { parseArguments, pathOption } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";
import { inRepository } from "./stack/paths.ts";

await main(async () => {
  const { values } = parseArguments(
    { out: { type: "string" } },
    "npm run docs [-- --out <folder>]",
  );
  const out = pathOption(values.out) ?? inRepository("dist", "docs");
  const site = await buildSite({ api: false });
  for (const [path, content] of site) {
    const file = join(out, path);
    await Deno.mkdir(dirname(file), { recursive: true });
    await Deno.writeFile(file, content);
  }
  console.log(`${site.size} files in ${out}`);
});
