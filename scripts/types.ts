/** `npm run types`: writes the types of schema bulwark and of the client, from a migrated database. */
import { generateTypes } from "./checking/generated_types.ts";
import { parseArguments } from "./stack/arguments.ts";
import { main } from "./stack/main.ts";
import { inRepository } from "./stack/paths.ts";
import { testClusters } from "./testing/clusters.ts";

await main(async () => {
  parseArguments({}, "npm run types");
  const clusters = testClusters();
  try {
    for (const [path, text] of await generateTypes(clusters)) {
      await Deno.writeTextFile(inRepository(path), text);
    }
  } finally {
    await clusters.stop();
  }
});
