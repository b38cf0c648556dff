/** `npm run types`: writes the TypeScript types of schema bulwark, from a migrated database. */
import { generateTypes, typesFile } from "./checking/generated_types.ts";
import { main } from "./stack/main.ts";
import { testClusters } from "./testing/clusters.ts";

await main(async () => {
  const clusters = testClusters();
  try {
    const { cluster, password } = await clusters.embedded();
    await Deno.writeTextFile(typesFile, await generateTypes(cluster, password));
  } finally {
    await clusters.stop();
  }
});
