/**
 * `npm run tour`: what Bulwark does, shown on the running local stack (npm start) with supabase-js
 * and nothing else. Each step says what it expects and fails the tour when that is not so.
 *
 *   npm run tour              every chapter
 *   npm run tour -- rbac      one chapter
 */
import { parseArgs } from "node:util";
import { Failure } from "./stack/failure.ts";
import { readState } from "./stack/instance.ts";
import { main } from "./stack/main.ts";
import { stackPaths } from "./stack/paths.ts";
import { loadSecrets } from "./stack/secrets.ts";
import { apiKeys } from "./tour/api_keys.ts";
import { audit } from "./tour/audit.ts";
import { encryption } from "./tour/encryption.ts";
import { metrics } from "./tour/metrics.ts";
import { mfa } from "./tour/mfa.ts";
import { rateLimits } from "./tour/rate_limits.ts";
import { rbac } from "./tour/rbac.ts";
import { webhooks } from "./tour/webhooks.ts";
import type { Chapter } from "./tour/guide.ts";

const chapters: Record<string, Chapter> = {
  rbac,
  audit,
  encryption,
  mfa,
  rate_limits: rateLimits,
  api_keys: apiKeys,
  metrics,
  webhooks,
};

await main(async () => {
  const asked = parseArgs({ args: Deno.args, allowPositionals: true }).positionals
    .map((name) => name.replaceAll("-", "_"));
  const unknown = asked.find((name) => !(name in chapters));
  if (unknown) {
    throw new Failure(
      "UNKNOWN_CHAPTER",
      `Cannot show ${unknown}: the tour has ${Object.keys(chapters).join(", ")}`,
    );
  }
  const stack = await readState(stackPaths());
  if (!stack) throw new Failure("NOT_RUNNING", "Cannot start the tour: run npm start first");
  const { databasePassword, schedulerSecret, metricsToken } = await loadSecrets(
    stackPaths().secrets,
  );
  const superuserUrl =
    `postgresql://supabase_admin:${databasePassword}@127.0.0.1:${stack.databasePort}/postgres`;
  const place = { ...stack, superuserUrl, schedulerSecret, metricsToken };
  for (const [name, chapter] of Object.entries(chapters)) {
    if (asked.length === 0 || asked.includes(name)) await chapter(place);
  }
});
