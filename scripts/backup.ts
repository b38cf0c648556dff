/**
 * `npm run backup -- <folder>`: copies the local stack, which must be stopped, into a new folder:
 * its database, its secrets, and a manifest. Keep it like the secrets: it holds them.
 */
import { parseArguments, wrongUsage } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";
import { backUp } from "./stack/offline_copy.ts";
import { stackPaths } from "./stack/paths.ts";

await main(async () => {
  const usage = "npm run backup -- <new folder>";
  const { positionals: [target] } = parseArguments({}, usage, { positionals: 1 });
  if (!target) throw wrongUsage("A folder is needed", usage);
  const { files, bytes } = await backUp(stackPaths(), target);
  console.log(
    `${files} files, ${(bytes / 2 ** 20).toFixed(1)} MiB, with the secrets, in ${target}`,
  );
});
