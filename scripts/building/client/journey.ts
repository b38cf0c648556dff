import { build } from "esbuild";
import { inRepository } from "../../stack/paths.ts";

/**
 * The client, and the journey of its tests, in one module: `createBulwark` and `journey`. Frozen
 * with a version, it shows later that an older client goes on working.
 */
export async function bundleJourney(): Promise<string> {
  const { outputFiles } = await build({
    stdin: {
      contents: `export { createBulwark } from "./clients/js/src/index.ts";
        export { journey } from "./tests/client/journey.ts";`,
      resolveDir: inRepository(),
    },
    ...{ bundle: true, write: false, format: "esm", minify: true, external: ["node:*"] },
  });
  return outputFiles[0]!.text;
}
