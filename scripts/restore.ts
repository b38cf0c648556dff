/**
 * `npm run restore -- <folder>`: restores what `npm run backup` has copied, where there is neither a
 * database nor secrets. It checks the manifest first. The audit log records that it forks here.
 */
import { parseArguments, wrongUsage } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";
import { restore } from "./stack/offline_copy.ts";
import { stackPaths } from "./stack/paths.ts";

await main(async () => {
  const usage = "npm run restore -- <folder>";
  const { positionals: [source] } = parseArguments({}, usage, { positionals: 1 });
  if (!source) throw wrongUsage("A folder is needed", usage);
  const paths = stackPaths();
  const { files, bytes } = await restore(source, paths);
  console.log(`${files} files, ${(bytes / 2 ** 20).toFixed(1)} MiB restored into ${paths.folder}`);
});
