import { mountFunctions, setFunctionEnvironment } from "../stack/functions.ts";
import { serveLite } from "../stack/lite.ts";
import { inRepository } from "../stack/paths.ts";
import { makeScratchFolder } from "../stack/scratch.ts";
import { loadSecrets, type Secrets } from "../stack/secrets.ts";
import { listen } from "../stack/server.ts";
import type { BenchContext } from "./harness.ts";

/** Serves the database of a benchmark as the stack does: the Data API, Auth and the functions. */
export async function serveApi(
  { url }: BenchContext,
): Promise<{ origin: string; secrets: Secrets }> {
  const scratch = await makeScratchFolder("bench-api");
  const secrets = await loadSecrets(`${scratch.path}/secrets.env`);
  await scratch.remove();
  const server = listen(0);
  const origin = `http://127.0.0.1:${server.port}`;
  const lite = await serveLite({ loginUrl: url, siteUrl: origin, secrets });
  setFunctionEnvironment(origin, secrets);
  const functions = mountFunctions(inRepository("supabase", "functions"));
  server.open([
    { prefix: "/rest/v1/", fetch: lite.rest },
    { prefix: "/auth/v1/", fetch: lite.auth },
    { prefix: "/functions/v1/", fetch: functions.fetch },
  ]);
  return { origin, secrets };
}
