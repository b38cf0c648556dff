/**
 * `npm run blocks -- <folder>`: writes the console's components as a registry in shadcn's format.
 */
import { join, resolve } from "node:path";
import { builtRegistry } from "./building/blocks/mod.ts";
import { parseArguments, wrongUsage } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";

await main(async () => {
  const usage = "npm run blocks -- <folder>";
  const [folder] = parseArguments({}, usage, { positionals: 1 }).positionals;
  if (!folder) throw wrongUsage("There is no folder", usage);
  const { index, items } = await builtRegistry();
  await Deno.mkdir(resolve(folder), { recursive: true });
  const write = (name: string, content: object) =>
    Deno.writeTextFile(
      join(resolve(folder), `${name}.json`),
      JSON.stringify(content, null, 2) + "\n",
    );
  await write("registry", index);
  for (const [name, item] of items) await write(name, item);
  console.log(`${items.size} blocks are in ${folder}`);
});
