/**
 * `npm run tour`: what Bulwark does, shown on the running local stack (npm start) with supabase-js
 * and nothing else. Each step says what it expects and fails the tour when that is not so.
 *
 *   npm run tour              every chapter
 *   npm run tour -- rbac      one chapter
 */
import { parseArguments, wrongUsage } from "./stack/arguments.ts";
import { Failure } from "./stack/failure.ts";
import { runningStack } from "./stack/instance.ts";
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
  const usage = "npm run tour [-- <chapter>…]";
  const asked = parseArguments({}, usage, { positionals: Infinity }).positionals
    .map((name) => name.replaceAll("-", "_"));
  const unknown = asked.find((name) => !(name in chapters));
  if (unknown) {
    throw wrongUsage(`The chapters are ${Object.keys(chapters).join(", ")}`, usage);
  }
  const stack = await runningStack(stackPaths());
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
